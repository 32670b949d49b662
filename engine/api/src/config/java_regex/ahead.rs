//! Decides which lookaheads of a pattern stand at its start, where they are conditions of their
//! own: `^(?!__).*` matches what `.*` matches and `__` does not begin.

/// A lookahead: whether it is to match, and its pattern.
pub(super) type Ahead<'a> = (bool, &'a [char]);

/// The lookaheads at the start of a pattern, and what follows them. None of them when one cannot be
/// taken for itself: with a group that is counted, or before an alternative.
pub(super) fn split(text: &[char]) -> (Vec<Ahead<'_>>, &[char]) {
    let whole = (Vec::new(), text);
    let Some(marks) = marks(text) else { return whole };
    let mut at = usize::from(text.first() == Some(&'^'));
    let mut found = Vec::new();
    while let ['(', '?', kind @ ('!' | '='), ..] = text[at..] {
        let Some(end) = closing(&marks, at) else { return whole };
        let inner = &text[at + 3..end];
        let is_counted = |start: &[char]| start[0] == '(' && start.get(1) != Some(&'?');
        let is_named = |start: &[char]| start.starts_with(&['(', '?', '<']);
        let starts =
            marks.iter().filter(|(place, mark)| (at + 3..end).contains(place) && *mark == '(');
        if starts
            .into_iter()
            .any(|(place, _)| is_counted(&text[*place..]) || is_named(&text[*place..]))
        {
            return whole;
        }
        found.push((kind == '=', inner));
        at = end + 1;
    }
    let rest = &text[at..];
    let mut depth = 0;
    for (_, mark) in marks.iter().filter(|(place, _)| *place >= at) {
        match mark {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => return whole,
            _ => {}
        }
    }
    match rest.first() {
        Some('*' | '+' | '?' | '{') => whole,
        _ if found.is_empty() => whole,
        _ => (found, rest),
    }
}

/// The places of `(`, `)` and `|` that are none of a class and not escaped. None where `\Q` makes
/// text of what follows.
fn marks(text: &[char]) -> Option<Vec<(usize, char)>> {
    let mut marks = Vec::new();
    let mut at = 0;
    let mut classes = 0;
    while let Some(c) = text.get(at) {
        match c {
            '\\' if text.get(at + 1) == Some(&'Q') => return None,
            '\\' => at += 1,
            '[' => {
                classes += 1;
                at += usize::from(text.get(at + 1) == Some(&'^'));
                // A bracket in the first place closes nothing.
                at += usize::from(text.get(at + 1) == Some(&']'));
            }
            ']' if classes > 0 => classes -= 1,
            '(' | ')' | '|' if classes == 0 => marks.push((at, *c)),
            _ => {}
        }
        at += 1;
    }
    Some(marks)
}

/// Where the group ends that begins at a place.
fn closing(marks: &[(usize, char)], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (place, mark) in marks.iter().filter(|(place, _)| *place >= open) {
        match mark {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(*place);
        }
    }
    None
}
