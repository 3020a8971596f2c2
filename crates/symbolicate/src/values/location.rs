//! DWARF locations of a frame: registers, memory, constants and pieces of them.

use gimli::{AttributeValue, EvaluationResult, Expression, Location, Value};
use necropsy_model::{Absence, Arch, Avma, CodeAddress, FrameKind, Registers, Svma};

use super::call_site;
use super::debug_file::{DebugFile, Store, Unit};
use super::entries::{Die, Entry};
use super::object::{Collected, MAX_COLLECTED, NO_ADDRESS, Object};
use crate::image::Slice;
use crate::space::AddressSpace;
use crate::unwind::RawFrame;

/// Operations of one expression; what compilers write has fewer than a hundred.
const MAX_OPERATIONS: u32 = 10_000;

/// Expressions inside expressions: an entry value that is an entry value of the caller, and so on.
pub(super) const MAX_NESTING: usize = 8;

/// A location expression that can not be read.
pub(super) const BAD_EXPRESSION: Absence = Absence::Unsupported("location expression not understood");

/// What is needed to read variables: the debug information, the memory, and the stack.
#[derive(Clone, Copy)]
pub(super) struct Context<'u, 'a, 'data> {
    pub store: &'u Store<'a, 'data>,
    pub space: &'u AddressSpace<'a, 'data>,
    pub frames: &'u [RawFrame],
}

/// A frame whose function is known.
#[derive(Clone)]
pub(super) struct Frame<'u, 'a, 'data> {
    pub context: Context<'u, 'a, 'data>,
    /// Which of the raw frames.
    pub index: usize,
    pub raw: &'u RawFrame,
    /// The function that has the code; not an inlined one.
    pub function: Entry<'u, 'data>,
    /// Address to look up, in the file's terms.
    pub lookup: Svma,
}

impl<'u, 'a, 'data> Frame<'u, 'a, 'data> {
    /// The frame at `index` of the stack, where debug information knows its function.
    pub fn new(context: Context<'u, 'a, 'data>, index: usize) -> Option<Self> {
        let raw = context.frames.get(index)?;
        let lookup = raw.address.lookup();
        let file = context.store.file_at(lookup)?;
        let lookup = file.bias.to_svma(lookup);
        let function = file.function_at(lookup)?.read()?;
        Some(Self { context, index, raw, function, lookup })
    }

    pub fn file(&self) -> &'u DebugFile<'data> {
        self.function.die.file
    }

    fn unit(&self) -> &'u Unit<'data> {
        self.function.die.unit
    }

    /// The next frame outwards.
    pub fn caller(&self) -> Option<Self> {
        Self::new(self.context, self.index.checked_add(1)?)
    }

    /// All registers of this frame are those of the moment: nothing was called since.
    fn is_interrupted(&self) -> bool {
        let below = self.index.checked_sub(1).and_then(|index| self.context.frames.get(index));
        below.is_none_or(|below| below.kind == FrameKind::SignalTrampoline)
            || matches!(self.raw.address, CodeAddress::Instruction(_))
    }

    /// The bytes of a variable, by its location or constant.
    pub fn object(&self, variable: &Entry<'u, 'data>) -> Object {
        let holder = |name| variable.holder(name);
        if let Some(holder) = holder(gimli::DW_AT_location) {
            return match expression_at(&holder, gimli::DW_AT_location, self.lookup) {
                Ok(expression) => self.evaluate(holder.die.unit, expression, 0),
                Err(reason) => Object::Absent(reason),
            };
        }
        match holder(gimli::DW_AT_const_value) {
            Some(holder) => constant(&holder),
            None => Object::Absent(Absence::OptimizedOut),
        }
    }

    /// Where an expression says that an object is.
    pub fn evaluate(&self, unit: &'u Unit<'data>, expression: Expression<Slice<'data>>, nesting: usize) -> Object {
        if expression.0.is_empty() {
            return Object::Absent(Absence::OptimizedOut);
        }
        match self.run(unit, expression, None, nesting) {
            Ok(pieces) => self.collect(&pieces),
            Err(reason) => Object::Absent(reason),
        }
    }

    /// The number that an expression computes: an address, or a value it leaves on its stack.
    pub fn compute(
        &self,
        unit: &'u Unit<'data>,
        expression: Expression<Slice<'data>>,
        initial: Option<u64>,
        nesting: usize,
    ) -> Result<u64, Absence> {
        let pieces = self.run(unit, expression, initial, nesting)?;
        let [piece] = pieces.as_slice() else { return Err(BAD_EXPRESSION) };
        match piece.location {
            Location::Address { address } => Ok(address),
            // Of a float, its bits: the object that is asked for has them in memory too.
            Location::Value { value: Value::F64(value) } => Ok(value.to_bits()),
            Location::Value { value: Value::F32(value) } => Ok(value.to_bits().into()),
            Location::Value { value } => value.to_u64(u64::MAX).map_err(|_| BAD_EXPRESSION),
            Location::Register { register } => self.register(register.0),
            Location::Bytes { value } => Object::bytes(value.slice().to_vec()).word(self.context.space),
            Location::Empty => Err(Absence::OptimizedOut),
            Location::ImplicitPointer { .. } => Err(NO_ADDRESS),
        }
    }

    fn run(
        &self,
        unit: &'u Unit<'data>,
        expression: Expression<Slice<'data>>,
        initial: Option<u64>,
        nesting: usize,
    ) -> Result<Vec<gimli::Piece<Slice<'data>>>, Absence> {
        if nesting > MAX_NESTING {
            return Err(Absence::TooDeep);
        }
        let file = self.file();
        let mut evaluation = expression.evaluation(unit.parsed.encoding());
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut state = evaluation.evaluate();
        loop {
            let wanted = match state {
                Ok(EvaluationResult::Complete) => return Ok(evaluation.result()),
                Ok(wanted) => wanted,
                Err(_) => return Err(BAD_EXPRESSION),
            };
            state = match wanted {
                EvaluationResult::RequiresMemory { address, size, base_type, .. } => {
                    let bytes = Object::Memory(address).number(self.context.space, usize::from(size))?;
                    evaluation.resume_with_memory(typed(unit, base_type, bytes as u64)?)
                }
                EvaluationResult::RequiresRegister { register, base_type } => {
                    let bits = Object::bytes(self.content(register.0)?).number(self.context.space, 8)?;
                    evaluation.resume_with_register(typed(unit, base_type, bits as u64)?)
                }
                EvaluationResult::RequiresFrameBase => evaluation.resume_with_frame_base(self.frame_base(nesting)?),
                EvaluationResult::RequiresCallFrameCfa => evaluation.resume_with_call_frame_cfa(self.cfa()?),
                EvaluationResult::RequiresTls(_) => {
                    return Err(Absence::Unsupported("thread-local storage is not located"));
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    evaluation.resume_with_relocated_address(file.bias.to_avma(Svma(address)).0)
                }
                EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                    let address = file.dwarf().address(&unit.parsed, index).map_err(|_| BAD_EXPRESSION)?;
                    let address = if relocate { file.bias.to_avma(Svma(address)).0 } else { address };
                    evaluation.resume_with_indexed_address(address)
                }
                EvaluationResult::RequiresBaseType(offset) => {
                    evaluation.resume_with_base_type(base_type(unit, offset)?)
                }
                EvaluationResult::RequiresEntryValue(expression) => {
                    let parameter = call_site::Parameter::Place(expression);
                    let value = call_site::value(self, unit, &parameter, nesting)?;
                    evaluation.resume_with_entry_value(Value::Generic(value))
                }
                EvaluationResult::RequiresParameterRef(offset) => {
                    let parameter = call_site::Parameter::Entry(Die { file, unit, offset });
                    evaluation.resume_with_parameter_ref(call_site::value(self, unit, &parameter, nesting)?)
                }
                EvaluationResult::RequiresAtLocation(reference) => {
                    let die = match reference {
                        gimli::DieReference::UnitRef(offset) => Some(Die { file, unit, offset }),
                        gimli::DieReference::DebugInfoRef(offset) => file.entry_at(offset),
                    };
                    let entry = die.and_then(Die::read).ok_or(BAD_EXPRESSION)?;
                    evaluation.resume_with_at_location(expression_at(&entry, gimli::DW_AT_location, self.lookup)?.0)
                }
                _ => return Err(BAD_EXPRESSION),
            };
        }
    }

    /// The bytes of a register of this frame, integer or vector.
    fn content(&self, register: u16) -> Result<Vec<u8>, Absence> {
        let vector = vector_number(self.raw.registers.arch(), register);
        match vector.and_then(|number| self.raw.vectors.get(number)) {
            Some(bytes) => Ok(bytes),
            None => self.register(register).map(|value| value.to_le_bytes().to_vec()),
        }
    }

    /// An integer register of this frame.
    pub fn register(&self, register: u16) -> Result<u64, Absence> {
        let registers: &Registers = &self.raw.registers;
        if let Some(value) = registers.get(register) {
            return Ok(value);
        }
        let general = registers.arch().register_names().len();
        if usize::from(register) >= general {
            return Err(match vector_number(registers.arch(), register) {
                Some(_) if self.is_interrupted() => Absence::Unsupported("register is not in the dump"),
                Some(_) => Absence::RegisterClobbered,
                None => Absence::Unsupported("value is in a register that is not read"),
            });
        }
        Err(if self.is_interrupted() {
            Absence::Unsupported("register is not in the dump")
        } else {
            Absence::RegisterClobbered
        })
    }

    fn cfa(&self) -> Result<u64, Absence> {
        self.raw.cfa.ok_or(Absence::Unsupported("frame address is not known"))
    }

    /// The address that `DW_OP_fbreg` counts from.
    pub fn frame_base(&self, nesting: usize) -> Result<u64, Absence> {
        let expression = expression_at(&self.function, gimli::DW_AT_frame_base, self.lookup)?;
        self.compute(self.unit(), expression, None, nesting + 1)
    }

    fn collect(&self, pieces: &[gimli::Piece<Slice<'data>>]) -> Object {
        if let [gimli::Piece { size_in_bits: None, bit_offset: None, location }] = pieces {
            return self.whole(location);
        }
        let (mut collected, mut filled) = (Collected::default(), 0);
        for piece in pieces {
            let bits = usize::try_from(piece.size_in_bits.unwrap_or(64)).unwrap_or(usize::MAX);
            let from = usize::try_from(piece.bit_offset.unwrap_or(0)).unwrap_or(usize::MAX);
            let length = from.saturating_add(bits).div_ceil(8);
            if length > MAX_COLLECTED {
                return Object::Absent(BAD_EXPRESSION);
            }
            let object = self.whole(&piece.location);
            let bytes = object.read(self.context.space, length);
            collected.append(&mut filled, bits, from, bytes.as_deref().map_err(Clone::clone));
        }
        Object::Collected(std::rc::Rc::new(collected), 0)
    }

    fn whole(&self, location: &Location<Slice<'data>>) -> Object {
        match *location {
            Location::Address { address } => Object::Memory(address),
            Location::Empty => Object::Absent(Absence::OptimizedOut),
            Location::Register { register } => match self.content(register.0) {
                Ok(bytes) => Object::bytes(bytes),
                Err(reason) => Object::Absent(reason),
            },
            Location::Value { value } => Object::bytes(bytes_of(value)),
            Location::Bytes { value } => Object::bytes(value.slice().to_vec()),
            Location::ImplicitPointer { .. } => Object::Absent(NO_ADDRESS),
        }
    }
}

/// The own number of a vector register. System V psABI AMD64 figure 3.36: xmm0 to xmm15; DWARF for the Arm 64-bit Architecture:
/// v0 to v31.
fn vector_number(arch: Arch, register: u16) -> Option<usize> {
    let (first, count) = match arch {
        Arch::X86_64 => (17, 16),
        Arch::Aarch64 => (64, 32),
        _ => return None,
    };
    register.checked_sub(first).filter(|&number| number < count).map(usize::from)
}

/// The expression of a location attribute that holds at an address of the file.
pub(super) fn expression_at<'data>(
    entry: &Entry<'_, 'data>,
    name: gimli::DwAt,
    address: Svma,
) -> Result<Expression<Slice<'data>>, Absence> {
    let value = entry.value(name).ok_or(Absence::OptimizedOut)?;
    match value {
        AttributeValue::Exprloc(expression) => return Ok(expression),
        AttributeValue::Block(block) => return Ok(Expression(block)),
        _ => {}
    }
    let file = entry.die.file;
    let list = file.with_locations().attr_locations(&entry.die.unit.parsed, value);
    let mut list = list.ok().flatten().ok_or(Absence::Unsupported("location list not found"))?;
    let mut elsewhere = false;
    while let Ok(Some(place)) = list.next() {
        if place.range.begin <= address.0 && address.0 < place.range.end {
            return Ok(place.data);
        }
        elsewhere |= !place.data.0.is_empty();
    }
    Err(if elsewhere { Absence::NotLiveHere } else { Absence::OptimizedOut })
}

/// The bytes of a value on the expression stack. Integers are extended to 16 bytes, for a type wider than the stack.
fn bytes_of(value: Value) -> Vec<u8> {
    match value {
        Value::F32(value) => value.to_le_bytes().to_vec(),
        Value::F64(value) => value.to_le_bytes().to_vec(),
        Value::Generic(value) | Value::U64(value) => u128::from(value).to_le_bytes().to_vec(),
        value => {
            let signed = matches!(value, Value::I8(_) | Value::I16(_) | Value::I32(_) | Value::I64(_));
            let bits = value.to_u64(u64::MAX).unwrap_or_default();
            let wide = if signed { i128::from(bits as i64) as u128 } else { u128::from(bits) };
            wide.to_le_bytes().to_vec()
        }
    }
}

/// The bytes of `DW_AT_const_value`.
pub(super) fn constant(entry: &Entry<'_, '_>) -> Object {
    let bytes = match entry.value(gimli::DW_AT_const_value) {
        Some(AttributeValue::Block(block)) => block.slice().to_vec(),
        Some(AttributeValue::Data16(value)) => value.to_le_bytes().to_vec(),
        Some(AttributeValue::Sdata(value)) => i128::from(value).to_le_bytes().to_vec(),
        Some(AttributeValue::Addr(address)) => entry.die.file.bias.to_avma(Svma(address)).0.to_le_bytes().to_vec(),
        Some(value) => match (value.udata_value(), entry.text(gimli::DW_AT_const_value)) {
            (Some(value), _) => u128::from(value).to_le_bytes().to_vec(),
            (None, Some(text)) => text.bytes().chain([0]).collect(),
            (None, None) => return Object::Absent(Absence::Unsupported("constant of an unknown form")),
        },
        None => return Object::Absent(Absence::OptimizedOut),
    };
    Object::bytes(bytes)
}

fn base_type(unit: &Unit<'_>, offset: gimli::UnitOffset) -> Result<gimli::ValueType, Absence> {
    // Offset 0 is the generic type: DWARF 5 section 2.5.1.6, `DW_OP_convert`.
    if offset.0 == 0 {
        return Ok(gimli::ValueType::Generic);
    }
    let entry = unit.parsed.entry(offset).map_err(|_| BAD_EXPRESSION)?;
    gimli::ValueType::from_entry(&entry).ok().flatten().ok_or(BAD_EXPRESSION)
}

fn typed(unit: &Unit<'_>, offset: gimli::UnitOffset, bits: u64) -> Result<Value, Absence> {
    Ok(match base_type(unit, offset)? {
        gimli::ValueType::F32 => Value::F32(f32::from_bits(bits as u32)),
        gimli::ValueType::F64 => Value::F64(f64::from_bits(bits)),
        kind => Value::from_u64(kind, bits).map_err(|_| BAD_EXPRESSION)?,
    })
}

/// The address of a code address in the terms of a file.
pub(super) fn svma(file: &DebugFile<'_>, address: Avma) -> Svma {
    file.bias.to_svma(address)
}
