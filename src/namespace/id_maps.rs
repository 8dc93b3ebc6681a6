//! The map of user or group ids of a user namespace, as the kernel's text
//! (user_namespaces(7), "User and group ID mappings").

use crate::bytes::Printed;
use crate::error::Result;
use crate::limits;
use crate::spec::linux::IdMapping;
use crate::spec::record::List;

/// A checked map. 8 KiB: it belongs into static memory.
pub struct IdMap {
    ranges: heapless::Vec<Range, { limits::ID_MAPPINGS }>,
    text: Printed<{ limits::ID_MAP_TEXT + 1 }>,
}

#[derive(Clone, Copy)]
struct Range {
    inside: u32,
    outside: u32,
    size: u32,
}

impl IdMap {
    /// Maps nothing.
    pub const fn new() -> IdMap {
        IdMap { ranges: heapless::Vec::new(), text: Printed::new() }
    }

    /// Makes it the map of these lines, all that the kernel would refuse being
    /// refused here.
    ///
    /// # Errors
    /// With the place: a line that is empty, wraps around or overlaps another,
    /// or more lines or text than the kernel takes.
    pub fn read(&mut self, mappings: List<'_, IdMapping<'static>>) -> Result<()> {
        self.ranges.clear();
        self.text.clear();
        for mapping in mappings.iter() {
            let place = mapping.value();
            let (Some(inside), Some(outside), Some(size)) = (mapping.container_id(), mapping.host_id(), mapping.size())
            else {
                continue; // required, so checked
            };
            let line = Range { inside, outside, size };
            if size == 0 {
                return Err(place.error(format_args!("maps no id: its size is 0")));
            }
            // The last id (-1) means "none" to the kernel and cannot be mapped.
            if inside.checked_add(size).is_none() || outside.checked_add(size).is_none() {
                return Err(place.error(format_args!("goes past the last id, 4294967294")));
            }
            if self.ranges.iter().any(|other| other.overlaps(&line)) {
                return Err(place.error(format_args!("overlaps a line before it")));
            }
            if self.ranges.push(line).is_err() {
                return Err(place.error(format_args!("more than {} lines", limits::ID_MAPPINGS)));
            }
            if !self.text.add(format_args!("{inside} {outside} {size}\n")) {
                return Err(place.error(format_args!("the map is longer than {} bytes", limits::ID_MAP_TEXT)));
            }
        }
        Ok(())
    }

    /// What to write into uid_map or gid_map, in one call.
    pub fn text(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Whether it maps nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The id outside for the id `inside`.
    pub fn outside_of(&self, inside: u32) -> Option<u32> {
        self.ranges.iter().find_map(|range| {
            let distance = inside.checked_sub(range.inside)?;
            if distance < range.size { range.outside.checked_add(distance) } else { None }
        })
    }
}

impl Default for IdMap {
    fn default() -> Self {
        Self::new()
    }
}

impl Range {
    /// On either side: the map must be one-to-one.
    fn overlaps(&self, other: &Range) -> bool {
        // `read` has made sure that the sums fit.
        let meets = |a: u32, b: u32| a < b.saturating_add(other.size) && b < a.saturating_add(self.size);
        meets(self.inside, other.inside) || meets(self.outside, other.outside)
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
        let document = Document::parse("c", json.as_bytes()).unwrap();
        let mut map = IdMap::new();
        map.read(Linux::view(document.root()).uid_mappings()).map_err(|error| error.to_string())?;
        Ok(map)
    }

    #[test]
    fn one_line_for_each() {
        let map = read(&[(0, 1000, 1), (1, 100_000, 65_536)]).unwrap();
        assert_eq!(map.text(), b"0 1000 1\n1 100000 65536\n");
        for (inside, outside) in [(0, Some(1000)), (1, Some(100_000)), (65_536, Some(165_535)), (65_537, None)] {
            assert_eq!(map.outside_of(inside), outside, "{inside}");
        }
        assert!(read(&[]).unwrap().is_empty());
        assert_eq!(read(&[(0, 0, u32::MAX)]).unwrap().outside_of(u32::MAX - 1), Some(u32::MAX - 1));
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        for (lines, expected) in [
            (&[(0, 1000, 0)][..], "uidMappings[0]: maps no id: its size is 0"),
            (&[(1, 0, u32::MAX)][..], "uidMappings[0]: goes past the last id, 4294967294"),
            (&[(0, 1, u32::MAX)][..], "uidMappings[0]: goes past the last id, 4294967294"),
            (&[(0, 10, 10), (9, 100, 1)][..], "uidMappings[1]: overlaps a line before it"),
            (&[(0, 10, 10), (100, 19, 5)][..], "uidMappings[1]: overlaps a line before it"),
        ] {
            let error = read(lines).err().unwrap();
            assert!(error.ends_with(expected), "{error}");
        }
        assert!(read(&[(0, 10, 10), (10, 20, 10), (20, 0, 10)]).is_ok());
    }

    #[test]
    fn as_many_lines_as_the_kernel_takes() {
        let short: Vec<Line> = (0..341).map(|n| (n, n, 1)).collect();
        let map = read(&short[..340]).unwrap();
        assert!(map.text().len() <= limits::ID_MAP_TEXT);
        assert!(read(&short).err().unwrap().ends_with("uidMappings[340]: more than 340 lines"));
        let long: Vec<Line> = (0..300).map(|n| (4_000_000_000 + n, 4_000_000_000 + n, 1)).collect();
        assert!(read(&long).err().unwrap().ends_with("the map is longer than 4095 bytes"));
    }
}
