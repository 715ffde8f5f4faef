//! `.dockerignore`: what of a folder is left out of a context.
//!
//! Docker's rules: one pattern a line, `#` begins a comment, `!` takes something in again, the last pattern that fits counts, and a pattern that
//! fits a folder fits everything in it. `*` and `?` stop at `/`, `**` does not.

use regex::Regex;

/// Patterns of one file.
#[derive(Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// It begins with `!`.
    back: bool,
    /// What any path that fits begins with.
    start: String,
}

impl Ignore {
    /// Reads the patterns.
    ///
    /// # Errors
    /// A line that is no pattern, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (back, rest) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let wrong = || format!("line {}: `{line}` is not a pattern", number + 1);
            if back && rest.is_empty() {
                return Err(wrong());
            }
            let cleaned = clean(rest);
            if cleaned.is_empty() {
                continue;
            }
            let regex = Regex::new(&translated(&cleaned).ok_or_else(wrong)?).map_err(|_| wrong())?;
            let start = cleaned.split(['*', '?', '[', '\\']).next().unwrap_or_default().to_owned();
            patterns.push(Pattern { regex, back, start });
        }
        Ok(Self { patterns })
    }

    /// Whether a path below the root is left out.
    #[must_use]
    pub fn leaves_out(&self, path: &str) -> bool {
        let fits = |pattern: &Pattern| {
            let above = path.match_indices('/').map(|(at, _)| path.get(..at).unwrap_or_default());
            std::iter::once(path).chain(above).any(|part| pattern.regex.is_match(part))
        };
        // The last one counts, so it is looked for from the end.
        self.patterns.iter().rev().find(|pattern| fits(pattern)).is_some_and(|pattern| !pattern.back)
    }

    /// Whether something in a folder that is left out may be taken in again.
    #[must_use]
    pub fn may_take_back_below(&self, folder: &str) -> bool {
        self.patterns.iter().filter(|pattern| pattern.back).any(|pattern| {
            let below = pattern.start.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
            below || folder.starts_with(&pattern.start)
        })
    }
}

/// As Go's `filepath.Clean`, without a slash in front: `./a//b/../c/` is `a/c`.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.last().is_some_and(|last| *last != "..") {
                    parts.pop();
                } else if !pattern.starts_with('/') {
                    parts.push("..");
                }
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() && !pattern.is_empty() && !pattern.starts_with('/') {
        return ".".to_owned();
    }
    parts.join("/")
}

fn translated(pattern: &str) -> Option<String> {
    let mut regex = String::from("(?s)^");
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.peek() == Some(&'*') => {
                letters.next();
                let slash = letters.peek() == Some(&'/');
                if slash {
                    letters.next();
                }
                // `**/a` also fits `a`; at the end it takes everything.
                regex.push_str(if slash && letters.peek().is_some() { "(.*/)?" } else { ".*" });
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '\\' => regex.push_str(&regex::escape(&letters.next()?.to_string())),
            '[' => regex.push_str(&class(&mut letters)?),
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    regex.push('$');
    Some(regex)
}

/// `[a-z]`, `[^a-z]`.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut class = String::from("[");
    if letters.next_if_eq(&'^').is_some() {
        class.push('^');
    }
    let mut first = true;
    loop {
        match letters.next()? {
            ']' if !first => break,
            ']' => return None,
            '\\' => class.push_str(&regex::escape(&letters.next()?.to_string())),
            '-' => class.push('-'),
            other => class.push_str(&regex::escape(&other.to_string())),
        }
        first = false;
    }
    class.push(']');
    Some(class)
}
