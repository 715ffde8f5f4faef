//! Splitting the text form of `command` and `entrypoint` into words, as Compose does: quotes and backslashes count, no
//! shell is involved.

/// Why a text cannot be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordsFault {
    /// A quote that begins at this byte is never closed.
    OpenQuote(usize),
    /// A backslash at the end.
    OpenEscape(usize),
    /// `;`, `&`, `|`, `<`, `>`, `(` or `)` outside of quotes: something only a shell would understand. Compose cuts the
    /// command off there without a word or refuses it; we always refuse.
    Shell(usize, char),
}

/// Splits into words. Inside single quotes everything is literal; elsewhere a backslash takes the next character as it
/// is, but for `\n` and `\t`, which are a line feed and a tab. Backticks and `$(...)` stay as they are, unsplit.
///
/// # Errors
/// The place and kind of what cannot be split.
pub fn split(text: &str) -> Result<Vec<String>, WordsFault> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let open = quote.map(|(quote, _)| quote);
        match (open, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some(close @ ('`' | ')')), c) if c == close => {
                quote = None;
                word.get_or_insert_default().push(c);
            }
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (Some('`' | ')'), '\\') => {
                let Some((_, next)) = chars.next() else { return Err(WordsFault::OpenEscape(at)) };
                word.get_or_insert_default().extend(['\\', next]);
            }
            (_, '\\') => {
                let Some((_, next)) = chars.next() else { return Err(WordsFault::OpenEscape(at)) };
                word.get_or_insert_default().push(match next {
                    'n' => '\n',
                    't' => '\t',
                    next => next,
                });
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some((c, at));
                word.get_or_insert_default();
            }
            (None, '`') => {
                quote = Some(('`', at));
                word.get_or_insert_default().push(c);
            }
            (None, '(') if word.as_ref().is_some_and(|word| word.ends_with('$')) => {
                quote = Some((')', at));
                word.get_or_insert_default().push(c);
            }
            (None, ';' | '&' | '|' | '<' | '>' | '(' | ')') => return Err(WordsFault::Shell(at, c)),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some((_, at)) = quote {
        return Err(WordsFault::OpenQuote(at));
    }
    words.extend(word);
    Ok(words)
}

/// Prints words so that [`split`] reads the same back.
#[must_use]
pub fn join(words: &[String]) -> String {
    words.iter().map(|word| print(word)).collect::<Vec<_>>().join(" ")
}

fn print(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%^~!?*[]{}#".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.contains('\'') {
        return format!("'{word}'");
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}
