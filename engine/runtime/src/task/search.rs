//! Which part of a run to put next, once the run has failed as a whole: finds the records at fault
//! with few puts, and in their order.

use std::ops::Range;

/// It begins with so many parts of the run.
const PARTS: usize = 8;

/// A search for the records of one run that make a put fail (generalized binary splitting, Hwang
/// 1972). What a part that fails has in its second half is looked at together with what comes
/// behind it, unless its first half was good. So a record at fault takes one put for each doubling
/// of the distance to the next, and no record counts as such before it has failed alone.
pub(super) struct Search {
    rows: usize,
    /// What lies before has been put, or is at fault.
    at: usize,
    /// The next so many rows have failed together; none has where it is 0.
    suspects: usize,
    /// So many rows are put where nothing is suspected: about as many as fail every other time.
    part: usize,
}

impl Search {
    pub(super) fn of(rows: usize) -> Self {
        Self { rows, at: 0, suspects: 0, part: rows.div_ceil(PARTS) }
    }

    /// The rows to put next; none when all were put.
    pub(super) fn next(&self) -> Option<Range<usize>> {
        let left = self.rows - self.at;
        let next = match self.suspects {
            0 => self.part.min(left),
            suspects => suspects.div_ceil(2).min(suspects - 1).max(1),
        };
        (left > 0).then(|| self.at..self.at + next)
    }

    /// What became of `next`, true: it has failed. One row that fails is at fault.
    pub(super) fn tell(&mut self, next: &Range<usize>, has_failed: bool) {
        match (has_failed, next.len()) {
            (false, put) => {
                self.at = next.end;
                if self.suspects == 0 {
                    self.part = (2 * self.part).min(self.rows);
                }
                self.suspects = self.suspects.saturating_sub(put);
            }
            (true, 1) => {
                self.at = next.end;
                self.suspects = 0;
            }
            (true, failed) => {
                if self.suspects == 0 {
                    self.part = failed.div_ceil(2);
                }
                self.suspects = failed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts, rows of these, rows that were put well and rows at fault.
    fn search(
        rows: usize,
        is_bad: impl Fn(usize) -> bool,
    ) -> (usize, usize, Vec<usize>, Vec<usize>) {
        let (mut search, mut puts, mut all) = (Search::of(rows), 0, 0);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(next) = search.next() {
            let has_failed = next.clone().any(&is_bad);
            (puts, all) = (puts + 1, all + next.len());
            match has_failed {
                false => good.extend(next.clone()),
                true if next.len() == 1 => bad.push(next.start),
                true => {}
            }
            search.tell(&next, has_failed);
        }
        (puts, all, good, bad)
    }

    #[test]
    fn each_row_is_put_once_and_in_order_or_fails_alone() {
        for rows in 0..70 {
            for every in 1..=rows {
                for first in 0..every {
                    let is_bad = |row: usize| row % every == first;
                    let (_, _, good, bad) = search(rows, is_bad);
                    assert_eq!(good, (0..rows).filter(|row| !is_bad(*row)).collect::<Vec<_>>());
                    assert_eq!(bad, (0..rows).filter(|row| is_bad(*row)).collect::<Vec<_>>());
                }
            }
        }
    }

    /// To tell one in a hundred from the others among 500 takes at least 38 yes and no.
    #[test]
    fn few_puts_find_few_rows() {
        let puts = |every: usize| search(500, |row| row % every == every / 2).0;
        assert_eq!([500, 100, 10, 1].map(puts), [14, 49, 351, 521]);
    }

    /// One that fails together with others only is not at fault.
    #[test]
    fn what_does_not_fail_alone_is_not_at_fault() {
        let mut search = Search::of(64);
        let mut put = 0;
        while let Some(next) = search.next() {
            let has_failed = next.len() > 1;
            put += usize::from(!has_failed) * next.len();
            search.tell(&next, has_failed);
        }
        assert_eq!(put, 64);
    }
}
