//! How much memory the buffers of all client connections may take together (I14).

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes against a limit. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { held: AtomicUsize::new(0), max }
    }

    /// A holder's bytes changed from `counted` to `now`; `counted` follows. Whether all together are
    /// within the limit.
    pub(crate) fn change(&self, counted: &mut usize, now: usize) -> bool {
        let before = std::mem::replace(counted, now);
        let held = match now.checked_sub(before) {
            Some(0) => self.held.load(Ordering::Relaxed),
            Some(more) => self.held.fetch_add(more, Ordering::Relaxed) + more,
            None => self.held.fetch_sub(before - now, Ordering::Relaxed) - (before - now),
        };
        held <= self.max
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_together_are_within_the_limit_or_not() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (0, 0);
        assert!(budget.change(&mut first, 60));
        assert!(!budget.change(&mut second, 50));
        assert!(budget.change(&mut first, 10));
        assert_eq!(budget.held(), 60);
        assert!(budget.change(&mut second, 0));
        assert_eq!((budget.held(), first, second), (10, 10, 0));
    }
}
