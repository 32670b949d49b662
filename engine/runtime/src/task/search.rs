//! Which part of a run to put next, once the run has failed as a whole: finds the records at fault
//! with few puts, and in their order.

use std::ops::Range;

/// It begins with so many parts of the run.
const PARTS: usize = 8;

/// Of what has failed one part in so many is put next. Halves take as many puts, by and large; but
/// with each put that fails a sink has written in vain what lies before the record at fault, and
/// thirds fail less often.
const SPLIT: usize = 3;

/// A search for the records of one run that make a put fail (generalized binary splitting, Hwang
/// 1972). What a part that fails has behind its first third is looked at together with what comes
/// after it, unless that third was good. So a record at fault takes about one put for each doubling
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
            suspects => suspects.div_ceil(SPLIT),
        };
        (left > 0).then(|| self.at..self.at + next)
    }

    /// What has not been put: what is suspected apart, so that nobody who goes on with it later
    /// begins anew.
    pub(super) fn rest(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let middle = self.at + self.suspects;
        [self.at..middle, middle..self.rows].into_iter().filter(|part| !part.is_empty())
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

    /// How many puts it took, the rows that were put well, and those at fault.
    fn search(rows: usize, is_bad: impl Fn(usize) -> bool) -> (usize, Vec<usize>, Vec<usize>) {
        let (mut search, mut puts) = (Search::of(rows), 0);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(next) = search.next() {
            let has_failed = next.clone().any(&is_bad);
            puts += 1;
            match has_failed {
                false => good.extend(next.clone()),
                true if next.len() == 1 => bad.push(next.start),
                true => {}
            }
            search.tell(&next, has_failed);
        }
        (puts, good, bad)
    }

    #[test]
    fn each_row_is_put_once_and_in_order_or_fails_alone() {
        for rows in 0..70 {
            for every in 1..=rows {
                for first in 0..every {
                    let is_bad = |row: usize| row % every == first;
                    let (_, good, bad) = search(rows, is_bad);
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
        assert_eq!([500, 100, 10, 1].map(puts), [13, 47, 301, 516]);
    }

    /// However slow puts are: here there is time for one of a run.
    #[test]
    fn a_search_that_is_interrupted_comes_to_its_end() {
        let mut runs: Vec<Range<usize>> = std::iter::once(0..500).collect();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            let Some(run) = runs.pop() else { break };
            let mut search = Search::of(run.len());
            let next = search.next().unwrap();
            let rows = run.start + next.start..run.start + next.end;
            let has_failed = rows.contains(&10) || rows.contains(&300);
            match has_failed {
                false => good.extend(rows),
                true if next.len() == 1 => bad.push(rows.start),
                true => {}
            }
            search.tell(&next, has_failed);
            let rest = search.rest().map(|part| run.start + part.start..run.start + part.end);
            let rest: Vec<_> = rest.collect();
            runs.extend(rest.into_iter().rev());
        }
        assert_eq!(bad, [10, 300]);
        assert_eq!(good, (0..500).filter(|row| !bad.contains(row)).collect::<Vec<_>>());
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
