//! "Did you mean": the nearest known word, if one is near enough to be worth saying.

/// The candidate that `word` was most likely meant to be; `None` when nothing is close. Case is ignored. Ties go to the
/// candidate that comes first.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        if let Some(distance) = distance(&word, &candidate.to_lowercase())
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Typing errors apart, if they are few for the word's length. One word that begins with the other counts too, after
/// the typing errors: `frontend` was probably `front`.
fn distance(word: &str, candidate: &str) -> Option<usize> {
    let shorter = word.chars().count().min(candidate.chars().count());
    let typos = strsim::damerau_levenshtein(word, candidate);
    if typos <= (shorter / 3).max(1) && typos < shorter.max(2) {
        return Some(typos);
    }
    let begins = shorter >= 3 && (word.starts_with(candidate) || candidate.starts_with(word));
    begins.then_some(100 + typos)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        for (word, expected) in [
            ("enviroment", Some("environment")),
            ("databse", Some("database")),
            ("db-data", Some("dbdata")),
            ("frontend", Some("front")),
            ("Image", Some("image")),
            ("x", None),
            ("zebra", None),
        ] {
            let known = ["environment", "database", "dbdata", "front", "image"];
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
