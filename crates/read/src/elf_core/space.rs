//! The address space: program headers and file mappings become regions.

use necropsy_model::{Avma, FileBacking, Memory, Permissions, Region};

use super::file::Mapping;
use super::headers::{LOAD, Segment};

/// A stretch of addresses with what the dump holds of it.
#[derive(Clone, Copy)]
struct Load {
    start: u64,
    end: u64,
    /// First address behind what was dumped.
    dumped_end: u64,
    /// Where `start` stands in the dump.
    offset: u64,
    permissions: Permissions,
}

/// Builds the memory of the process.
///
/// Linux writes a `PT_LOAD` for every mapping, also for those whose bytes the filter left out; gcore writes none for
/// what it leaves out, and then `NT_FILE` alone knows that it was mapped. A `PT_LOAD` that spans several files is split.
pub(super) fn build<'data>(data: &'data [u8], segments: &[Segment], mappings: &[Mapping<'data>]) -> Memory<'data> {
    let loads = loads(segments);
    let mappings = disjoint(mappings);
    let mut regions = Vec::with_capacity(loads.len());
    let mut next = mappings.iter().peekable();
    for load in &loads {
        let mut at = load.start;
        while at < load.end {
            while next.next_if(|mapping| mapping.end <= at).is_some() {}
            let (end, mapping) = match next.peek() {
                Some(mapping) if mapping.start <= at => (mapping.end.min(load.end), Some(**mapping)),
                Some(mapping) => (mapping.start.min(load.end), None),
                None => (load.end, None),
            };
            regions.push(piece(data, load, at, end, mapping));
            at = end;
        }
    }
    let mut next = loads.iter().peekable();
    for mapping in &mappings {
        let mut at = mapping.start;
        while at < mapping.end {
            while next.next_if(|load| load.end <= at).is_some() {}
            let end = match next.peek() {
                Some(load) if load.start <= at => load.end.min(mapping.end),
                Some(load) => load.start.min(mapping.end),
                None => mapping.end,
            };
            if next.peek().is_none_or(|load| load.start > at) {
                let file = Some(backing(mapping, at));
                let (start, end) = (Avma(at), Avma(end));
                regions.push(Region { start, end, permissions: None, bytes: &[], dumped: 0, file });
            }
            at = end;
        }
    }
    Memory::new(regions)
}

/// The `PT_LOAD`s in order of address, the later of two that overlap cut short.
fn loads(segments: &[Segment]) -> Vec<Load> {
    let loads = segments.iter().filter(|segment| segment.kind == LOAD);
    let mut loads: Vec<Load> = loads
        .map(|segment| Load {
            start: segment.address,
            end: segment.address.saturating_add(segment.memory_size.max(segment.file_size)),
            dumped_end: segment.address.saturating_add(segment.file_size),
            offset: segment.offset,
            // PF_R is 4, PF_W is 2, PF_X is 1.
            permissions: Permissions {
                read: segment.flags & 4 != 0,
                write: segment.flags & 2 != 0,
                execute: segment.flags & 1 != 0,
            },
        })
        .collect();
    loads.sort_by_key(|load| load.start);
    let mut last = 0;
    loads.retain_mut(|load| {
        load.offset = load.offset.saturating_add(last.max(load.start) - load.start);
        load.start = load.start.max(last);
        last = last.max(load.end);
        load.start < load.end
    });
    loads
}

/// The mappings without overlaps.
fn disjoint<'a, 'data>(mappings: &'a [Mapping<'data>]) -> Vec<&'a Mapping<'data>> {
    let mut last = 0;
    let mut kept: Vec<_> = mappings.iter().collect();
    kept.retain(|mapping| {
        let keep = mapping.start >= last;
        last = if keep { mapping.end } else { last };
        keep
    });
    kept
}

fn piece<'data>(data: &'data [u8], load: &Load, start: u64, end: u64, file: Option<&Mapping<'data>>) -> Region<'data> {
    let dumped = load.dumped_end.clamp(start, end) - start;
    let from = load.offset.saturating_add(start - load.start).min(data.len() as u64);
    let to = from.saturating_add(dumped).min(data.len() as u64);
    let bytes = usize::try_from(from).ok().zip(usize::try_from(to).ok()).and_then(|(from, to)| data.get(from..to));
    Region {
        start: Avma(start),
        end: Avma(end),
        permissions: Some(load.permissions),
        bytes: bytes.unwrap_or_default(),
        dumped,
        file: file.map(|mapping| backing(mapping, start)),
    }
}

fn backing<'data>(mapping: &Mapping<'data>, start: u64) -> FileBacking<'data> {
    FileBacking {
        path: mapping.path.clone(),
        offset: mapping.offset.saturating_add(start.saturating_sub(mapping.start)),
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::AddressState;

    use super::*;

    fn load(address: u64, memory_size: u64, offset: u64, file_size: u64, flags: u32) -> Segment {
        Segment { kind: LOAD, flags, offset, address, file_size, memory_size }
    }

    fn mapping(start: u64, end: u64, offset: u64) -> Mapping<'static> {
        Mapping { start, end, offset, path: "/bin/demo".into(), deleted: false }
    }

    #[test]
    fn a_mapping_without_a_segment_was_mapped_all_the_same() {
        let memory = build(&[7; 16], &[load(0x1000, 0x1000, 0, 16, 5)], &[mapping(0x1000, 0x4000, 0x2000)]);
        assert_eq!(memory.state(Avma(0x100f)), AddressState::Present);
        assert_eq!(memory.state(Avma(0x1010)), AddressState::NotDumped);
        assert_eq!(memory.state(Avma(0x3fff)), AddressState::NotDumped);
        assert_eq!(memory.state(Avma(0x4000)), AddressState::NotMapped);
        let behind = memory.region(Avma(0x2000)).unwrap();
        assert_eq!((behind.permissions, behind.file.as_ref().map(|file| file.offset)), (None, Some(0x3000)));
    }

    #[test]
    fn a_segment_over_two_mappings_is_split() {
        let maps = [mapping(0x1000, 0x2000, 0), mapping(0x3000, 0x4000, 0x5000)];
        let data = vec![7; 0x3000];
        let memory = build(&data, &[load(0x1800, 0x2000, 0x100, 0x2000, 6)], &maps);
        let starts: Vec<_> = memory.regions().iter().map(|region| region.start.0).collect();
        assert_eq!(starts, [0x1000, 0x1800, 0x2000, 0x3000, 0x3800]);
        assert_eq!(memory.region(Avma(0x3000)).unwrap().bytes.len(), 0x800);
        assert_eq!(memory.region(Avma(0x1800)).unwrap().file.as_ref().unwrap().offset, 0x800);
    }

    #[test]
    fn what_the_cut_took_is_cut_off_and_what_the_filter_took_is_not_dumped() {
        let data = vec![7; 0x900];
        let memory =
            build(&data, &[load(0x1000, 0x3000, 0x800, 0x1000, 6), load(0x8000, 0x1000, 0x1800, 0x1000, 6)], &[]);
        assert_eq!(memory.state(Avma(0x10ff)), AddressState::Present);
        assert_eq!(memory.state(Avma(0x1100)), AddressState::CutOff);
        assert_eq!(memory.state(Avma(0x2000)), AddressState::NotDumped);
        assert_eq!(memory.state(Avma(0x8000)), AddressState::CutOff);
    }

    #[test]
    fn overlaps_and_the_end_of_the_address_space_do_no_harm() {
        let memory = build(
            &[7; 64],
            &[load(0x1000, 0x1000, 0, 64, 6), load(0x1010, 0x2000, 0, 64, 6), load(u64::MAX - 8, 64, 0, 64, 6)],
            &[mapping(0x1800, u64::MAX, 0), mapping(0x1900, 0x2000, 0)],
        );
        assert_eq!(memory.region(Avma(0x2800)).unwrap().start, Avma(0x2000));
    }
}
