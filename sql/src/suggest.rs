//! "Did you mean".

/// The word of a list that a misspelt one was most likely meant to be, without regard to case.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > 40 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = match word.chars().count() {
        0..=2 => return None,
        3..=4 => 1,
        5..=7 => 2,
        _ => 3,
    };
    known
        .iter()
        .map(|known| {
            (
                strsim::osa_distance(&word, &known.to_ascii_lowercase()),
                *known,
            )
        })
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
