use super::*;

const TEXT: u64 = 0x40_1000;
const START: u64 = TEXT + 0x40;
/// Bytes of the function, and where the code inlined into it begins.
const SIZE: u64 = 0x30;
const INLINED_AT: u64 = 0x10;

/// A piece of a table, which says where each of its parts begins.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn put(&mut self, bytes: &[u8]) -> u32 {
        let at = self.0.len();
        self.0.extend_from_slice(bytes);
        u32::try_from(at).unwrap()
    }

    fn text(&mut self, text: &str) -> u32 {
        let at = self.put(text.as_bytes());
        self.put(&[0]);
        at
    }

    /// Values, each up to a distance in bytes from the last one.
    fn values(&mut self, values: &[(i32, u8)]) -> u32 {
        let at = u32::try_from(self.0.len()).unwrap();
        let mut last = -1;
        for &(value, distance) in values {
            let difference = value - last;
            let zigzag = if difference < 0 { (!difference << 1) | 1 } else { difference << 1 };
            self.put(&[u8::try_from(zigzag & 0x7f).unwrap() | 0x80, u8::try_from(zigzag >> 7).unwrap(), distance]);
            last = value;
        }
        self.put(&[0]);
        at
    }
}

/// A table with one function, `main.serve` in serve.go, with `main.find` of find.go inlined from byte 16 on.
fn table(layout: Layout) -> Vec<u8> {
    let offsets = layout >= Layout::Go118;
    // One heap for all parts before 1.16; apart since. One byte first, so that no offset is 0, which means none.
    let (mut names, mut files, mut values) = (Bytes(vec![0]), Bytes(vec![0]), Bytes(vec![0]));
    let serve = names.text("main.serve");
    names.text("main.find");
    let (serve_go, find_go) = (files.text("/src/serve.go"), files.text("/src/find.go"));
    let split = u8::try_from(INLINED_AT).unwrap();
    let rest = u8::try_from(SIZE - INLINED_AT).unwrap();
    let pcsp = values.values(&[(0, 4), (24, split - 4 + rest)]);
    let pcfile = values.values(&[(0, split), (1, rest)]);
    let pcln = values.values(&[(10, split), (33, rest)]);
    let tree = values.values(&[(-1, split), (0, rest)]);
    let size = if offsets { 4 } else { 8 };
    let record = |add: &dyn Fn(u32) -> u32| {
        let mut record = Bytes::default();
        if offsets {
            record.put(&u32::try_from(START - TEXT).unwrap().to_le_bytes());
        } else {
            record.put(&START.to_le_bytes());
        }
        for field in [add(serve), 0, 0, pcsp, pcfile, pcln, 3, 0] {
            record.put(&field.to_le_bytes());
        }
        if layout == Layout::Go120 {
            record.put(&9_u32.to_le_bytes());
        }
        record.put(&[0, 0, 0, 4]);
        for field in [0, 0, tree, 0, 0, 0, 0] {
            record.put(&u32::to_le_bytes(field));
        }
        record.0
    };
    let index = |record_at: u64| {
        let mut index = Bytes::default();
        for number in [START, record_at, START + SIZE] {
            let number = if offsets && number >= TEXT { number - TEXT } else { number };
            index.put(&number.to_le_bytes()[..size]);
        }
        index.0
    };
    let (magic, _) = LAYOUTS.iter().find(|(_, known)| *known == layout).unwrap();
    let mut out = Bytes::default();
    out.put(&magic.to_le_bytes());
    out.put(&[0, 0, 1, 8]);
    out.put(&1_u64.to_le_bytes());
    if layout == Layout::Go12 {
        return old(out, &record, &names, &files, &values);
    }
    out.put(&2_u64.to_le_bytes());
    if offsets {
        out.put(&TEXT.to_le_bytes());
    }
    let units: Vec<u8> = [serve_go, find_go].iter().flat_map(|file| file.to_le_bytes()).collect();
    let functions = [index(3 * size as u64), record(&|name| name)].concat();
    let parts = [&names.0, &units, &files.0, &values.0, &functions];
    let mut at = out.0.len() + parts.len() * 8;
    for part in parts {
        out.put(&(at as u64).to_le_bytes());
        at += part.len();
    }
    for part in parts {
        out.put(part);
    }
    out.0
}

/// Makes the record of the function, its name where it was moved to.
type Record<'a> = dyn Fn(&dyn Fn(u32) -> u32) -> Vec<u8> + 'a;

/// The one table of Go 1.2: header, index, where the numbers of files are, and all the rest in any order.
fn old(mut out: Bytes, record: &Record<'_>, names: &Bytes, files: &Bytes, values: &Bytes) -> Vec<u8> {
    // The values' offsets are counted from the beginning, so they come first: behind header and index.
    let head = 16 + 3 * 8 + 8;
    let name_at = |name: u32| name + head + u32::try_from(values.0.len()).unwrap();
    let mut record = record(&name_at);
    for field in [4, 5, 6] {
        let at = 8 + (field - 1) * 4;
        let value = u32_at(&record, at).unwrap() + head;
        record[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    let behind_names = name_at(u32::try_from(names.0.len()).unwrap());
    let record_at = behind_names + u32::try_from(files.0.len()).unwrap();
    let files_at = record_at + u32::try_from(record.len()).unwrap();
    for number in [START, u64::from(record_at), START + SIZE] {
        out.put(&number.to_le_bytes());
    }
    out.put(&files_at.to_le_bytes());
    out.put(&[0; 4]);
    for part in [&values.0, &names.0, &files.0, &record] {
        out.put(part);
    }
    // Numbers of files are counted from 1 in a real table; the first word is how many there are.
    let file = |offset: u32| behind_names + offset;
    for number in [file(1), file(1 + "/src/serve.go".len() as u32 + 1)] {
        out.put(&number.to_le_bytes());
    }
    out.0
}

/// The trees of inlined functions: one entry, called from the function's byte 8.
fn trees(layout: Layout) -> Vec<u8> {
    let name = 1 + "main.serve".len() as u32 + 1;
    let words: &[u32] = if layout == Layout::Go118 { &[0xffff, 0, 0, name, 8] } else { &[0, name, 8, 0] };
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn named(table: &GoTable<'_>, at: u64) -> Vec<String> {
    let said = |frame: GoFrame<'_>| {
        let position = frame.position.map(|(file, line)| format!("{file}:{line}"));
        format!("{} {}", frame.name.as_deref().unwrap_or("?"), position.unwrap_or_default())
    };
    table.look_up(Svma(at)).into_iter().map(said).collect()
}

#[test]
fn every_layout_names_functions_files_and_lines() {
    for (_, layout) in LAYOUTS {
        let bytes = table(layout);
        let trees = trees(layout);
        let mut table = GoTable::parse(&bytes).expect("a table");
        assert_eq!(named(&table, START), ["main.serve /src/serve.go:10"], "{layout:?}");
        assert_eq!(named(&table, START + INLINED_AT), ["main.serve /src/find.go:33"], "{layout:?}, without trees");
        table.trees = &trees;
        if layout >= Layout::Go118 {
            let inlined = ["main.find /src/find.go:33", "main.serve /src/serve.go:10"];
            assert_eq!(named(&table, START + INLINED_AT), inlined, "{layout:?}");
        }
        assert_eq!(named(&table, START - 1), [""; 0]);
        assert_eq!(named(&table, START + SIZE), [""; 0]);
        let range = (Svma(START), Svma(START + SIZE));
        assert_eq!(table.stack_delta(Svma(START)), Some((range, 0)));
        assert_eq!(table.stack_delta(Svma(START + 4)), Some((range, 24)));
        assert_eq!(table.named(&["main.serve", "main.none"]), [("main.serve", START, START + SIZE)]);
    }
}

#[test]
fn damage_is_no_name_and_no_panic() {
    for (_, layout) in LAYOUTS {
        let whole = table(layout);
        let trees = trees(layout);
        for length in 0..whole.len() {
            if let Some(table) = GoTable::parse(&whole[..length]) {
                let _ = named(&GoTable { trees: &trees, ..table }, START + INLINED_AT);
            }
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            for value in [0, 0x7f, 0xff] {
                bytes[at] = value;
                if let Some(table) = GoTable::parse(&bytes) {
                    let _ = named(&GoTable { trees: &trees, ..table }, START + INLINED_AT);
                    let _ = (table.stack_delta(Svma(START)), table.named(&["main.serve"]));
                }
            }
        }
    }
}
