//! Where the values of a JSON text stand. Only for the good configuration: what
//! it reads is known to be valid, with names that have no escapes.
//!
//! Hand-made, because a crate that needs `std` in this workspace would be
//! linked into the program, which has none, when all is built at once.

use std::ops::Range;

/// A value.
pub struct Node {
    /// Its first byte tells its type.
    pub value: Range<usize>,
    /// The value with its name, if it has one.
    pub member: Range<usize>,
    pub children: Vec<(String, Node)>,
}

impl Node {
    /// The value at `at` (or its name, if it is `in_object`), and its name.
    pub fn read(text: &str, at: usize, in_object: bool) -> (String, Node) {
        let start = skip_space(text, at);
        let mut at = start;
        let mut name = String::new();
        if in_object {
            let end = end_of_string(text, at);
            name = text[at + 1..end - 1].into();
            at = skip_space(text, skip_space(text, end) + 1); // behind the colon
        }
        let begin = at;
        let mut children = Vec::new();
        match text.as_bytes()[at] {
            b'"' => at = end_of_string(text, at),
            open @ (b'{' | b'[') => {
                at = skip_space(text, at + 1);
                while !matches!(text.as_bytes()[at], b'}' | b']') {
                    let (mut name, child) = Node::read(text, at, open == b'{');
                    if open == b'[' {
                        name = children.len().to_string();
                    }
                    at = skip_space(text, child.member.end);
                    if text.as_bytes()[at] == b',' {
                        at = skip_space(text, at + 1);
                    }
                    children.push((name, child));
                }
                at += 1;
            }
            _ => at += text[at..].find([',', '}', ']', ' ', '\n']).unwrap_or(text.len() - at),
        }
        (name, Node { value: begin..at, member: start..at, children })
    }

    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|(own, _)| own == name).map(|(_, child)| child)
    }
}

fn skip_space(text: &str, at: usize) -> usize {
    at + text[at..].find(|character: char| !character.is_ascii_whitespace()).unwrap_or(text.len() - at)
}

fn end_of_string(text: &str, at: usize) -> usize {
    at + 1 + text[at + 1..].find('"').expect("it ends") + 1
}
