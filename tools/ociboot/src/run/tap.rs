//! TAP (versions 12 to 14) and the kernel's KTAP in a command's output: which
//! tests there were and how they ended. Pure.
//!
//! Output counts as TAP once a version line or a plan (`1..N`) was seen. A
//! result that sums up subtests is not counted beside them.

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    /// Skipped, or expected to fail.
    Skipped,
}

/// A test point without subtests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The names of the tests it is in and its own, with ` > ` between them.
    pub name: String,
    pub verdict: Verdict,
    /// The reason of a skip, or what a failing test said in `#` lines.
    pub remark: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tap {
    pub points: Vec<Point>,
    /// Sentences on what is wrong with the whole: a plan not kept, `Bail out!`.
    pub faults: Vec<String>,
}

impl Tap {
    pub fn count(&self, verdict: Verdict) -> usize {
        self.points.iter().filter(|point| point.verdict == verdict).count()
    }

    /// Whether a test failed or the whole is not as announced.
    pub fn failed(&self) -> bool {
        self.count(Verdict::Failed) > 0 || !self.faults.is_empty()
    }

    pub fn summary(&self) -> String {
        let [passed, failed, skipped] =
            [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(|verdict| self.count(verdict));
        let mut text = format!("TAP: {passed} passed, {failed} failed, {skipped} skipped");
        for fault in &self.faults {
            text.push_str("; ");
            text.push_str(fault);
        }
        text
    }
}

/// A longer line is no test's result.
const LINE: usize = 4096;

/// More results than this are not kept: they would fill the memory.
const POINTS: usize = 1_000_000;

/// Deeper subtests count as of this depth.
const DEPTH: usize = 16;

/// Remarks of one test, in bytes.
const REMARK: usize = 4096;

/// One level of subtests that is open.
#[derive(Default)]
struct Level {
    indent: usize,
    plan: Option<usize>,
    results: usize,
    /// Results below it since its own last result.
    nested: Vec<Point>,
    remark: String,
}

/// Reads the output as it comes.
#[derive(Default)]
pub struct Reader {
    line: Vec<u8>,
    too_long: bool,
    recognised: bool,
    levels: Vec<Level>,
    found: Tap,
    kept: usize,
}

impl Reader {
    pub fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                if !std::mem::take(&mut self.too_long) {
                    let line = String::from_utf8_lossy(&self.line).into_owned();
                    self.take_line(line.trim_end());
                }
                self.line.clear();
            } else if self.line.len() < LINE {
                self.line.push(*byte);
            } else {
                self.too_long = true;
            }
        }
    }

    /// What there was; `None` where the output was no TAP.
    pub fn finish(mut self) -> Option<Tap> {
        self.take(b"\n");
        if !self.recognised {
            return None;
        }
        self.close_below(0);
        if let Some(level) = self.levels.pop() {
            self.check_plan(&level);
            self.found.points.extend(level.nested);
        }
        Some(self.found)
    }

    fn take_line(&mut self, line: &str) {
        let text = line.trim_start_matches([' ', '\t']);
        // Subtests are indented by four blanks in TAP, by two in KTAP.
        let indent = line.len() - text.len();
        if text.starts_with("TAP version ") || text.starts_with("KTAP version ") {
            self.recognised = true;
        } else if let Some(count) = plan(text) {
            self.recognised = true;
            self.level(indent).plan = Some(count);
        } else if let Some(rest) = text.strip_prefix("Bail out!") {
            if self.recognised {
                self.found.faults.push(format!("it gave up: {}", rest.trim()));
            }
        } else if let Some((passed, name, directive)) = result(text) {
            self.point(indent, passed, name, directive);
        } else if let Some(remark) = text.strip_prefix('#')
            && self.recognised
            && !remark.trim_start().starts_with("Subtest")
        {
            let level = self.level(indent);
            if level.remark.len() + remark.len() < REMARK {
                level.remark.push_str(remark.trim());
                level.remark.push('\n');
            }
        }
    }

    /// Which level lines of this indentation belong to; it is opened if need be.
    fn depth(&mut self, indent: usize) -> usize {
        let depth = self.levels.iter().take_while(|level| level.indent < indent).count();
        let known = self.levels.get(depth).is_some_and(|level| level.indent == indent);
        if !known && (depth == self.levels.len()) && depth < DEPTH {
            self.levels.push(Level { indent, ..Level::default() });
        }
        depth.min(self.levels.len().saturating_sub(1))
    }

    fn level(&mut self, indent: usize) -> &mut Level {
        let depth = self.depth(indent);
        &mut self.levels[depth]
    }

    /// Ends the levels below `depth`; their results become those of the level itself.
    fn close_below(&mut self, depth: usize) {
        while self.levels.len() > depth + 1 {
            let Some(level) = self.levels.pop() else { break };
            self.check_plan(&level);
            if let Some(parent) = self.levels.last_mut() {
                parent.nested.extend(level.nested);
            }
        }
    }

    fn check_plan(&mut self, level: &Level) {
        if let Some(plan) = level.plan.filter(|plan| *plan != level.results) {
            self.found.faults.push(format!("{} of {plan} planned tests ran", level.results));
        }
    }

    fn point(&mut self, indent: usize, passed: bool, name: &str, directive: &str) {
        let depth = self.depth(indent);
        let deeper = self.levels.len() > depth + 1;
        let before = self.levels[depth].nested.len();
        self.close_below(depth);
        let kept = self.kept;
        let level = &mut self.levels[depth];
        level.results += 1;
        let remark = std::mem::take(&mut level.remark);
        if deeper && level.nested.len() > before {
            // It sums up what stood below it.
            for point in &mut level.nested[before..] {
                point.name = format!("{name} > {}", point.name);
            }
            let any_failed = level.nested[before..].iter().any(|point| point.verdict == Verdict::Failed);
            if passed || any_failed {
                return;
            }
        }
        if kept == POINTS {
            return;
        }
        self.kept += 1;
        let word = directive.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
        let expected = word.starts_with("SKIP") || word == "TODO" || word == "XFAIL";
        let (verdict, remark) = match (expected, passed) {
            (true, _) => (Verdict::Skipped, directive.to_owned()),
            (false, true) => (Verdict::Passed, String::new()),
            (false, false) => (Verdict::Failed, remark),
        };
        self.levels[depth].nested.push(Point { name: name.to_owned(), verdict, remark });
    }
}

/// `1..N`, perhaps with a remark.
fn plan(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("1..")?;
    rest.split([' ', '#']).next()?.parse().ok()
}

/// `ok 1 - name # directive`, `not ok …`.
fn result(text: &str) -> Option<(bool, &str, &str)> {
    let (passed, rest) = match text.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = &rest[..digits];
    let rest = rest[digits..].trim_start();
    let rest = rest.strip_prefix('-').map_or(rest, str::trim_start);
    let (name, directive) = rest.split_once("# ").or_else(|| rest.split_once('#')).unwrap_or((rest, ""));
    let name = name.trim();
    Some((passed, if name.is_empty() { number } else { name }, directive.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Tap> {
        let mut reader = Reader::default();
        for piece in text.as_bytes().chunks(7) {
            reader.take(piece);
        }
        reader.finish()
    }

    fn counts(text: &str) -> Option<(usize, usize, usize, usize)> {
        let tap = read(text)?;
        let count = |verdict| tap.count(verdict);
        Some((count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Skipped), tap.faults.len()))
    }

    #[test]
    fn kinds_of_output() {
        for (text, expected) in [
            ("hello\nok then\nnot ok at all\n", None),
            ("", None),
            ("1..2\nok 1 - a\nnot ok 2 - b\n", Some((1, 1, 0, 0))),
            ("ok 1 a\nok 2\n1..2", Some((2, 0, 0, 0))),
            ("TAP version 13\n1..3\nok 1\nok 2 # SKIP no such thing\nnot ok 3 x # TODO later\n", Some((1, 0, 2, 0))),
            ("TAP version 14\n1..3\nok 1\n", Some((1, 0, 0, 1))),
            ("1..1\nBail out! no disk\n", Some((0, 0, 0, 2))),
            ("okay\n1..0 # skipped\n", Some((0, 0, 0, 0))),
            ("1..1\n  1..1\n    1..2\n    ok 1 a\n    ok 2 b\n  ok 1 c\nok 1 d\n", Some((2, 0, 0, 0))),
            (
                "KTAP version 1\n1..2\n  KTAP version 1\n  # Subtest: s\n  1..2\n  ok 1 a\n  not ok 2 b\nnot ok 1 s\nok 2 t\n",
                Some((2, 1, 0, 0)),
            ),
            ("TAP version 14\n1..1\n    1..2\n    ok 1 - a\n    ok 2 - b\nok 1 - whole\n", Some((2, 0, 0, 0))),
            (
                "TAP version 14\n1..1\n    1..1\n    ok 1 - a\nnot ok 1 - whole, for another reason\n",
                Some((1, 1, 0, 0)),
            ),
        ] {
            assert_eq!(counts(text), expected, "{text}");
        }
    }

    #[test]
    fn names_and_remarks() {
        let tap = read(
            "1..1\n    1..2\n    ok 1 - a # SKIP no root\n    # wrong: 1\n    # wrong: 2\n    not ok 2 - b\nnot ok 1 - s\n",
        );
        let tap = tap.expect("it is TAP");
        assert_eq!(
            tap.points,
            [
                Point { name: "s > a".into(), verdict: Verdict::Skipped, remark: "SKIP no root".into() },
                Point { name: "s > b".into(), verdict: Verdict::Failed, remark: "wrong: 1\nwrong: 2\n".into() },
            ]
        );
        assert_eq!(tap.summary(), "TAP: 0 passed, 1 failed, 1 skipped");
        assert!(tap.failed());
    }

    #[test]
    fn a_line_without_end() {
        let mut reader = Reader::default();
        reader.take(b"1..1\n");
        reader.take(&vec![b'x'; 100_000]);
        reader.take(b"\nok 1\n");
        assert!(!reader.finish().expect("it is TAP").failed());
    }
}
