//! Whom to ask for views, and when (guarantees 4.5): while requests wait, one node after the other,
//! the voters before the others. A server that is stopped keeps its connection and answers nothing,
//! so nobody is waited for. Pure.

/// Between two questions, in milliseconds.
const EVERY_MS: u64 = 100;

/// The turn of whoever is asked next.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    due_ms: u64,
    turn: usize,
}

impl Asker {
    /// Requests wait: whom to ask now. `voters` and `nodes` are those that are connected.
    pub(crate) fn ask<K: Copy + PartialEq>(
        &mut self,
        now_ms: u64,
        voters: impl FnOnce() -> Vec<K>,
        nodes: impl FnOnce() -> Vec<K>,
    ) -> Option<K> {
        if now_ms < self.due_ms {
            return None;
        }
        self.due_ms = now_ms + EVERY_MS;
        let mut all = voters();
        for node in nodes() {
            if !all.contains(&node) {
                all.push(node);
            }
        }
        let asked = all.get(self.turn % all.len().max(1)).copied();
        self.turn = self.turn.wrapping_add(1);
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_come_first_and_everybody_in_turn() {
        let mut asker = Asker::default();
        let mut ask = |now_ms| asker.ask(now_ms, || vec![7, 3], || vec![1, 3, 7]);
        let asked: Vec<_> = (0..8).map(|step| ask(step * EVERY_MS / 2)).collect();
        assert_eq!(asked, [Some(7), None, Some(3), None, Some(1), None, Some(7), None]);
        let mut alone = Asker::default();
        assert_eq!(alone.ask(0, Vec::<u8>::new, Vec::new), None);
    }
}
