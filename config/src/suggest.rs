//! The known word that was probably meant by an unknown one.

/// The candidate nearest to `word`, if one is near enough to be a typing mistake.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // Longer words are no typing mistake, and the distance costs their length.
    const CHARS_MAX: usize = 40;
    if word.chars().count() > CHARS_MAX {
        return None;
    }
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be inserted, removed or replaced; case does not count.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_recognised_and_other_words_are_not() {
        let known = ["address", "admin", "zone"];
        assert_eq!(nearest("adress", &known), Some("address"));
        assert_eq!(nearest("Zone", &known), Some("zone"));
        assert_eq!(nearest("zones", &known), Some("zone"));
        assert_eq!(nearest("host", &known), None);
        assert_eq!(nearest("", &known), None);
        // Of short names every other one is near.
        assert_eq!(nearest("a2", &["a1", "b2"]), None);
        assert_eq!(nearest(&"address".repeat(1_000), &known), None);
    }
}
