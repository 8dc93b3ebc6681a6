//! The map of user or group ids of a user namespace, as the kernel's text
//! (user_namespaces(7), "User and group ID mappings").

use crate::bytes::{self, Printed};
use crate::error::Result;
use crate::limits;
use crate::spec::linux::IdMapping;
use crate::spec::record::List;

/// A map. 4 KiB: it belongs into static memory.
pub struct IdMap {
    text: Printed<{ limits::ID_MAP_TEXT + 1 }>,
}

impl IdMap {
    /// Maps nothing.
    pub const fn new() -> IdMap {
        IdMap { text: Printed::new() }
    }

    /// Makes it the map of these lines, which were checked with the document.
    ///
    /// # Errors
    /// With the place: more text than the kernel takes.
    pub fn read(&mut self, mappings: List<'_, IdMapping<'static>>) -> Result<()> {
        self.text.clear();
        for mapping in mappings.iter() {
            let (Some(inside), Some(outside), Some(size)) = (mapping.container_id(), mapping.host_id(), mapping.size())
            else {
                continue; // required, so checked
            };
            if !self.text.add(format_args!("{inside} {outside} {size}\n")) {
                return Err(mapping
                    .value()
                    .error(format_args!("the map is longer than {} bytes", limits::ID_MAP_TEXT)));
            }
        }
        Ok(())
    }

    /// Whether it is of one id, the caller's own `id`: such a map an ordinary user may
    /// write (user_namespaces(7)).
    pub fn is_only(&self, id: u32) -> bool {
        let mut words = bytes::split(self.text(), b' ');
        words.nth(1).and_then(bytes::decimal) == Some(id.into()) && words.next() == Some(b"1\n")
    }

    /// What `id` of the inside is outside.
    pub fn outside(&self, id: u32) -> Option<u32> {
        bytes::split(self.text(), b'\n').find_map(|line| {
            let mut words = bytes::split(line, b' ').map(bytes::decimal);
            let [inside, outside, size] = core::array::from_fn(|_| words.next().flatten());
            let distance =
                u64::from(id).checked_sub(inside?).filter(|distance| size.is_some_and(|size| *distance < size));
            u32::try_from(outside?.checked_add(distance?)?).ok()
        })
    }

    /// What to write into uid_map or gid_map, in one call.
    pub fn text(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Default for IdMap {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use crate::spec::linux::Linux;
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    type Line = (u32, u32, u32);

    fn read(lines: &[Line]) -> Result<IdMap, std::string::String> {
        let lines: Vec<_> = lines
            .iter()
            .map(|(inside, outside, size)| {
                format!("{{\"containerID\": {inside}, \"hostID\": {outside}, \"size\": {size}}}")
            })
            .collect();
        let json = format!("{{\"uidMappings\": [{}]}}", lines.join(","));
        let document = Document::of("c", json.as_bytes()).unwrap();
        let mut map = IdMap::new();
        map.read(Linux::view(document.root()).uid_mappings()).map_err(|error| error.to_string())?;
        Ok(map)
    }

    #[test]
    fn one_line_for_each() {
        let map = read(&[(0, 1000, 1), (1, 100_000, 65_536)]).unwrap();
        assert_eq!(map.text(), b"0 1000 1\n1 100000 65536\n");
        assert_eq!(read(&[]).unwrap().text(), b"");
    }

    #[test]
    fn of_one_id_alone() {
        for (lines, expected) in [
            (&[(0, 1000, 1)][..], true),
            (&[(5, 1000, 1)], true),
            (&[(0, 1001, 1)], false),
            (&[(0, 1000, 2)], false),
            (&[(0, 1000, 10)], false),
            (&[(0, 1000, 1), (1, 100_000, 1)], false),
            (&[], false),
        ] {
            assert_eq!(read(lines).unwrap().is_only(1000), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_id_outside() {
        let map = read(&[(0, 1000, 1), (1, 100_000, 65_536), (70_000, 5, 2), (80_000, u32::MAX, 2)]).unwrap();
        for (inside, outside) in [
            (0, Some(1000)),
            (1, Some(100_000)),
            (65_536, Some(165_535)),
            (65_537, None),
            (69_999, None),
            (70_001, Some(6)),
            (80_000, Some(u32::MAX)),
            (80_001, None),
        ] {
            assert_eq!(map.outside(inside), outside, "{inside}");
        }
        assert_eq!(read(&[]).unwrap().outside(0), None);
    }

    #[test]
    fn as_many_lines_as_the_kernel_takes() {
        let short: Vec<Line> = (0..limits::ID_MAPPINGS as u32).map(|n| (n, n, 1)).collect();
        assert!(read(&short).unwrap().text().len() <= limits::ID_MAP_TEXT);
        let long: Vec<Line> = (0..300).map(|n| (4_000_000_000 + n, 4_000_000_000 + n, 1)).collect();
        assert!(read(&long).err().unwrap().ends_with("the map is longer than 4095 bytes"));
    }
}
