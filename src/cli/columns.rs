//! Tables in columns that line up, for `list` and `ps`.
//!
//! Two passes over the rows: the first measures, the second writes. The rows
//! are made twice rather than kept, so a table of any length costs no memory.

use core::fmt::{self, Display, Write};

/// The widths of a table's columns, in characters.
pub struct Columns {
    widths: [usize; MOST],
}

/// The most columns that a table of ours has.
const MOST: usize = 6;

/// Blanks between the widest cell and the next column, and the least width of a
/// column with them: both as in runc's tables, which scripts cut by position.
const GAP: usize = 3;
const LEAST: usize = 12;

impl Columns {
    pub const fn new() -> Self {
        Columns { widths: [LEAST; MOST] }
    }

    /// First pass: makes the columns wide enough for this row.
    pub fn measure(&mut self, row: &[&dyn Display]) {
        for (width, cell) in self.widths.iter_mut().zip(row) {
            let mut counter = Counter(0);
            // A counter cannot fail.
            let _ = write!(counter, "{cell}");
            *width = (*width).max(counter.0.saturating_add(GAP));
        }
    }

    /// Second pass: writes a row as one line. Nothing is put behind the last
    /// cell.
    pub fn write(&self, out: &mut dyn Write, row: &[&dyn Display]) -> fmt::Result {
        let mut missing = 0;
        for (width, cell) in self.widths.iter().zip(row) {
            for _ in 0..missing {
                out.write_char(' ')?;
            }
            let mut counter = Counter(0);
            let _ = write!(counter, "{cell}");
            write!(out, "{cell}")?;
            missing = width.saturating_sub(counter.0);
        }
        out.write_char('\n')
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts characters and keeps none.
struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.chars().count());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn table(rows: &[[&str; 3]]) -> String {
        let mut columns = Columns::new();
        let mut out = String::new();
        for row in rows {
            columns.measure(&row.each_ref().map(|cell| cell as &dyn Display));
        }
        for row in rows {
            columns.write(&mut out, &row.each_ref().map(|cell| cell as &dyn Display)).unwrap();
        }
        out
    }

    #[test]
    fn columns_line_up() {
        for (rows, expected) in [
            (&[["ID", "PID", "STATUS"]][..], "ID          PID         STATUS\n"),
            (
                &[["ID", "PID", "STATUS"], ["a-long-identifier", "1", "running"]][..],
                "ID                  PID         STATUS\na-long-identifier   1           running\n",
            ),
            (&[["ä", "", "x"]][..], "ä                       x\n"),
            (&[["123456789", "1234567890", "x"]][..], "123456789   1234567890   x\n"),
            (&[][..], ""),
        ] {
            assert_eq!(table(rows), expected);
        }
    }
}
