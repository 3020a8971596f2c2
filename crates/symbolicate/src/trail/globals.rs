//! Global variables: who stores to one, by reading the code of its module once. Only modules with little code are read.

use necropsy_model::{Avma, BirthKind};

use super::context::Ctx;
use super::definition::Loc;
use super::lead::{Lead, Path, Spot};
use super::op::{Op, Reg, Src, mask};
use super::sweep::{Does, Use};
use super::{Limits, Tracer, sweep};

/// Bytes behind the address of a variable that may be reached through a pointer to it: the largest structure that is looked for.
const REACH: u64 = 4096;

/// Instructions in which a register with the address of an array is watched.
const WATCHED: u8 = 24;

/// What the code of a module does with a variable.
#[derive(Debug, Default)]
struct Uses {
    /// Instructions that store to it.
    stores: Vec<u64>,
    /// Its address, or that of an object around it, is taken.
    taken: bool,
    /// Instructions that take the address of the object around it.
    takes: Vec<u64>,
}

impl Tracer<'_, '_, '_> {
    /// The address lies in the data of a module.
    pub fn is_static(&self, address: u64) -> bool {
        self.space.images.at(Avma(address)).is_some()
    }

    /// The address lies in data that the process could write.
    pub fn is_writable(&self, address: u64) -> bool {
        if self.is_sealed(address) {
            return false;
        }
        // What the loader has relocated and sealed (`PT_GNU_RELRO`) is writable in the file, and not in the process.
        if let Some(rights) = self.space.memory.region(Avma(address)).and_then(|region| region.permissions) {
            return rights.write;
        }
        let Some((_, image)) = self.space.images.at(Avma(address)) else { return false };
        let svma = image.bias.to_svma(Avma(address)).0;
        let covers = |start: u64, size: u64| svma.checked_sub(start).is_some_and(|offset| offset < size);
        image.segments.iter().any(|segment| segment.writable && covers(segment.start.0, segment.size))
    }

    /// The address lies in data that is constant once it is relocated (`PT_GNU_RELRO`); a program that is linked statically does
    /// not seal it.
    fn is_sealed(&self, address: u64) -> bool {
        use object::read::elf::ProgramHeader;
        let Some((_, image)) = self.space.images.at(Avma(address)) else { return false };
        let Some(elf) = &image.elf else { return false };
        let svma = image.bias.to_svma(Avma(address)).0;
        let endian = elf.endian();
        elf.elf_program_headers().iter().any(|header| {
            let start = header.p_vaddr(endian);
            header.p_type(endian) == object::elf::PT_GNU_RELRO
                && svma.checked_sub(start).is_some_and(|offset| offset < header.p_memsz(endian))
        })
    }

    /// Who gave a global variable its value.
    pub fn global(&mut self, ctx: Ctx, at: usize, address: u64, size: u8, value: Option<u64>, path: &Path) {
        let spot = Spot { ctx, at };
        if !self.is_writable(address) {
            let gone = self.run(ctx).frame.is_none();
            if gone && value == Some(0) && self.reads_element(ctx, at) {
                let shown = self.global_name(address).unwrap_or_else(|| format!("the table at {address:#x}"));
                self.hole_in_table(spot, &shown, path);
                return;
            }
            // A table of pointers has a hole; a member that is NULL says that there is none, and whoever reads it has to look.
            let arrays = self.values.arrays_at(self.frames, Avma(self.address(ctx, at)), address);
            let element = arrays.iter().any(|array| array.stride == u64::from(size));
            if let (Some(0), true, 8, Some(name)) = (value, element, size, self.global_name(address)) {
                let declared = self.values.declared(Avma(self.address(ctx, at)), Avma(address));
                let mut path = path.with(spot, "global", format!("{name} has nothing there"));
                path.doubts.push("whether the table or the index is wrong is not known");
                self.leads.push(Lead {
                    kind: BirthKind::GlobalInitial,
                    spot,
                    what: format!("an element of {name} that is NULL"),
                    global: Some((name, declared)),
                    declared: None,
                    path,
                    complete: true,
                });
                return;
            }
            let path = path.with(spot, "constant", "read from constant data".to_owned());
            let gone = gone && path.stored.is_none();
            let kind = if gone { BirthKind::ReturnedComputed } else { BirthKind::Constant };
            self.lead(kind, spot, "read from constant data".to_owned(), &path);
            return;
        }
        let Some(uses) = self.uses(address, size) else {
            self.trace(ctx, at, Loc::Mem { address, size }, value, path);
            return;
        };
        let before = self.leads.len();
        if uses.taken {
            self.trace(ctx, at, Loc::Mem { address, size }, value, path);
            self.leads.retain({
                let mut index = 0;
                move |lead| {
                    index += 1;
                    index <= before || lead.kind != BirthKind::Loaded
                }
            });
            if self.leads.len() > before {
                return;
            }
        }
        for &store in &uses.stores {
            self.store_to_global(store, value, path);
        }
        let name = self.global_name(address);
        let found = self.leads.get_mut(before..).unwrap_or_default();
        for lead in found.iter_mut() {
            if matches!(lead.kind, BirthKind::Stored | BirthKind::Constant | BirthKind::ReturnedConstant) {
                lead.kind = BirthKind::GlobalStore;
            }
            lead.complete &= !uses.taken;
        }
        if found.iter().any(|lead| lead.kind != BirthKind::Unknown) {
            return;
        }
        self.leads.truncate(before);
        if uses.taken && self.stored_by_index(&uses.takes, (address, size), value, path) {
            return;
        }
        let initial = self.initial(address, size);
        let same = value.is_none() || initial == value;
        // Whoever has its address only reads there, as far as this is seen.
        let arrays = self.values.arrays_at(self.frames, Avma(self.address(ctx, at)), address);
        let pointers = arrays.iter().any(|array| array.stride == u64::from(size));
        let candidate = uses.taken && same && value == Some(0) && pointers && self.run(ctx).frame.is_some();
        let untouched = candidate && self.no_element_stored(&uses.takes, (address, size));
        let shown = name.clone().unwrap_or_else(|| format!("the variable at {address:#x}"));
        if same && !uses.taken && self.run(ctx).frame.is_none() && self.reads_element(ctx, at) {
            self.hole_in_table(spot, &shown, path);
        } else if same && (!uses.taken || untouched) {
            let declared = self.values.declared(Avma(self.address(ctx, at)), Avma(address));
            let mut path = path.with(spot, "global", format!("{shown} still has its initial value"));
            if untouched {
                path.doubts.push("its address is taken, and who else has it was not followed");
            }
            let complete = self.leads.len() == before;
            self.leads.push(Lead {
                kind: BirthKind::GlobalInitial,
                spot,
                global: name.map(|name| (name, declared)),
                declared: None,
                what: format!("the initial value of {shown}"),
                path,
                complete,
            });
        } else if same && self.run(ctx).frame.is_some() && self.is_untouched(address) {
            let declared = self.values.declared(Avma(self.address(ctx, at)), Avma(address));
            let mut path = path.with(spot, "global", format!("all of {shown} still has its initial value"));
            path.doubts.push("its address is passed on, and who has it may write there");
            self.leads.push(Lead {
                kind: BirthKind::GlobalInitial,
                spot,
                global: name.map(|name| (name, declared)),
                declared: None,
                what: format!("the initial value of {shown}"),
                path,
                complete: true,
            });
        } else {
            self.unwritten(address, size, value);
            let path = path.with(spot, "global", format!("read from {shown}"));
            self.lead(BirthKind::Loaded, spot, format!("read from {shown}; who wrote it was not found"), &path);
        }
    }

    /// A hole in a table: who looked there is the birth, and not the table.
    fn hole_in_table(&mut self, spot: Spot, table: &str, path: &Path) {
        let mut path = path.with(spot, "element", format!("this element of {table} was never set"));
        path.doubts.push("whether the table or the index is wrong is not known");
        let what = format!("took an element of {table} that was never set");
        self.lead(BirthKind::ReturnedComputed, spot, what, &path);
    }

    /// A load with an index.
    fn reads_element(&self, ctx: Ctx, at: usize) -> bool {
        let indexed = |op: &Op| matches!(op, Op::Set { from: Src::Mem(mem), .. } if mem.index.is_some());
        self.insn(ctx, at).is_some_and(|insn| insn.ops.iter().any(indexed))
    }

    /// The value that a store gave.
    pub fn store_to_global(&mut self, store: u64, value: Option<u64>, path: &Path) {
        let Some(ctx) = self.detached(store) else { return };
        let function = self.function(ctx);
        let Some(at) = function.at(store) else { return };
        let Some(insn) = function.insns.get(at) else { return };
        let spot = Spot { ctx, at };
        for op in &insn.ops {
            let (size, from) = match *op {
                Op::Store { to, from } => (to.size, from),
                Op::Update { .. } | Op::Fill { .. } => {
                    let path = path.with(spot, "store", "changed here".to_owned());
                    self.lead(BirthKind::Unknown, spot, "changed here".to_owned(), &path);
                    continue;
                }
                _ => continue,
            };
            let mut path = path.with(spot, "store", "a store to the variable".to_owned());
            path.stored = Some(spot);
            match from {
                Src::Const(constant) if value.is_none_or(|value| value == mask(constant, size)) => {
                    self.lead(
                        BirthKind::Stored,
                        spot,
                        format!("stores {}", super::chase::words(Some(constant))),
                        &path,
                    );
                }
                Src::Reg(part) => {
                    for def in self.reaching(ctx, at, Loc::Reg(part), value) {
                        if matches!(def.kind, super::definition::Kind::Value(_)) {
                            self.lead(BirthKind::Stored, spot, "stores the value".to_owned(), &path);
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// What the file says that the variable begins with.
    pub fn initial(&self, address: u64, size: u8) -> Option<u64> {
        let (_, image) = self.space.images.at(Avma(address))?;
        let svma = image.bias.to_svma(Avma(address)).0;
        let segment = image
            .segments
            .iter()
            .find(|segment| svma.checked_sub(segment.start.0).is_some_and(|offset| offset < segment.size))?;
        let from = usize::try_from(svma - segment.start.0).ok()?;
        let mut wide = [0; 8];
        let given = segment.bytes.get(from..).unwrap_or_default();
        wide.iter_mut().zip(given.iter().take(usize::from(size))).for_each(|(to, from)| *to = *from);
        Some(u64::from_le_bytes(wide))
    }

    /// All of the variable at an address is as the file has it, pointers relocated: nobody has written to any of it.
    fn is_untouched(&self, address: u64) -> bool {
        /// Bytes of the smallest structure, and of the largest that is compared.
        const SIZES: std::ops::RangeInclusive<u64> = 16..=4096;
        let Some((start, size)) = self.variable_at(address).filter(|(_, size)| SIZES.contains(size)) else {
            return false;
        };
        let own = |value: u64| self.space.images.at(Avma(value)).map(|(_, image)| image.bias);
        (0..size / 8).all(|index| {
            let place = start + index * 8;
            let (now, first) = (self.word(place, 8), self.initial(place, 8));
            let relocated = |now: u64| own(now).is_some() && own(now) == own(place) && self.has_file_bytes(place);
            now == first || now.is_some_and(relocated)
        })
    }

    /// The file has bytes for the address; of others it says that they begin as zeros.
    fn has_file_bytes(&self, address: u64) -> bool {
        let Some((_, image)) = self.space.images.at(Avma(address)) else { return false };
        let svma = image.bias.to_svma(Avma(address)).0;
        image
            .segments
            .iter()
            .any(|segment| svma.checked_sub(segment.start.0).is_some_and(|offset| offset < segment.bytes.len() as u64))
    }

    pub fn global_name(&self, address: u64) -> Option<String> {
        use object::{Object, ObjectSymbol};
        let (_, image) = self.space.images.at(Avma(address))?;
        let svma = image.bias.to_svma(Avma(address)).0;
        let elf = image.elf.as_ref()?;
        let covers = |symbol: &object::read::elf::ElfSymbol<'_, '_, _>| {
            symbol.kind() == object::SymbolKind::Data
                && svma.checked_sub(symbol.address()).is_some_and(|offset| offset < symbol.size().max(1))
        };
        let symbol = elf.symbols().chain(elf.dynamic_symbols()).find(covers)?;
        symbol.name().ok().map(str::to_owned)
    }

    /// First address and size of the variable at an address.
    pub fn variable_at(&self, address: u64) -> Option<(u64, u64)> {
        use object::{Object, ObjectSymbol};
        let (_, image) = self.space.images.at(Avma(address))?;
        let svma = image.bias.to_svma(Avma(address)).0;
        let elf = image.elf.as_ref()?;
        let symbol = elf.symbols().chain(elf.dynamic_symbols()).find(|symbol| {
            symbol.kind() == object::SymbolKind::Data
                && svma.checked_sub(symbol.address()).is_some_and(|offset| offset < symbol.size())
        })?;
        Some((image.bias.to_avma(necropsy_model::Svma(symbol.address())).0, symbol.size()))
    }

    /// The one place that jumps to a function: whoever jumped left no frame.
    pub fn only_jump_to(&mut self, entry: u64) -> Option<(Ctx, usize)> {
        let (_, image) = self.space.images.at(Avma(entry))?;
        let mut found = None;
        for insn in sweep::instructions(image, self.machine)? {
            if insn.jumps_to() == Some(entry) && found.replace(insn.at()).is_some() {
                return None;
            }
        }
        let at = found?;
        let ctx = self.detached(at)?;
        let index = self.function(ctx).at(at)?;
        Some((ctx, index))
    }

    /// The stores to a variable; `None` where the module has too much code.
    fn uses(&mut self, address: u64, size: u8) -> Option<Uses> {
        let (_, image) = self.space.images.at(Avma(address))?;
        let instructions = sweep::instructions(image, self.machine)?;
        let mut uses = Uses::default();
        let end = address.wrapping_add(u64::from(size));
        // A register that has the address of the object, and for how many instructions it is watched.
        let mut held: Option<(Reg, u8)> = None;
        for insn in instructions {
            if let Some((register, left)) = held {
                held = match insn.use_of(register) {
                    Use::None | Use::Indexes if left > 0 => Some((register, left - 1)),
                    Use::Last => None,
                    Use::None | Use::Indexes | Use::Other => {
                        uses.taken = true;
                        None
                    }
                };
            }
            if let Some(named) = insn.names() {
                let target = named.address;
                let touches = target < end && address < target.wrapping_add(named.size);
                match named.does {
                    Does::Writes if touches => uses.stores.push(insn.at()),
                    Does::Takes(register)
                        if target <= address && address - target < REACH && self.same_object(target, address) =>
                    {
                        uses.taken |= held.is_some();
                        uses.takes.push(insn.at());
                        held = Some((register, WATCHED));
                    }
                    _ => {}
                }
            } else if insn.has_constant(address) {
                uses.taken = true;
            }
            if uses.stores.len() >= Limits::LEADS {
                self.limit_hit = true;
                return Some(uses);
            }
        }
        Some(uses)
    }

    /// No other variable begins between two addresses.
    pub fn same_object(&self, start: u64, address: u64) -> bool {
        start == address || self.global_name(start).is_some_and(|name| self.global_name(address) == Some(name))
    }
}
