//! Bytes and a type to a value as a reader of the source expects it.

use std::cell::Cell;

use necropsy_model::{Absence, Avma, Field, Text, Value};

use super::entries::{Die, Entry};
use super::location::{Frame, svma};
use super::object::Object;
use super::type_name::simplify;
use super::types::{self, Slot, defined, dimensions, encoding, is_character, is_pointer, is_record, slot};
use super::{pretty, scalar};

/// Structures inside structures that are shown.
pub(super) const MAX_DEPTH: usize = 4;

/// Elements of an array that are shown.
pub(super) const MAX_ELEMENTS: u64 = 16;

/// Members of a structure that are shown: the rest is cut with a word.
const MAX_FIELDS: usize = 32;

/// Bytes of a text that are shown.
pub(super) const MAX_TEXT: usize = 200;

/// Values shown for one variable, counted over all its parts.
const MAX_VALUES: usize = 512;

/// How deep a value stands, and what may still be followed.
#[derive(Clone, Copy)]
pub(super) struct Level {
    /// Structures around it.
    pub depth: usize,
    /// Pointers to structures may be followed.
    pub follow: bool,
}

impl Level {
    /// One structure further in.
    pub fn inner(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

/// Renders the values of one frame.
pub(super) struct Renderer<'r, 'u, 'a, 'data> {
    pub frame: &'r Frame<'u, 'a, 'data>,
    left: Cell<usize>,
}

impl<'r, 'u, 'a, 'data> Renderer<'r, 'u, 'a, 'data> {
    /// A renderer for one variable.
    pub fn new(frame: &'r Frame<'u, 'a, 'data>) -> Self {
        Self { frame, left: Cell::new(MAX_VALUES) }
    }

    /// The value of a type in these bytes.
    pub fn value(&self, die: Option<Die<'u, 'data>>, object: &Object, level: Level) -> Value<'data> {
        if let Object::Absent(reason) = object {
            return Value::Absent(reason.clone());
        }
        let Some(left) = self.left.get().checked_sub(1) else { return Value::Absent(Absence::TooDeep) };
        self.left.set(left);
        let Some(entry) = defined(die) else { return Value::Absent(Absence::Unsupported("type not understood")) };
        let found = match entry.tag {
            gimli::DW_TAG_base_type | gimli::DW_TAG_enumeration_type => self.scalar(die, &entry, object),
            gimli::DW_TAG_unspecified_type => Ok(Value::Pointer { address: 0, symbol: None, target: None }),
            gimli::DW_TAG_array_type => self.array(&entry, object, level),
            gimli::DW_TAG_ptr_to_member_type => {
                object.word(self.frame.context.space).map(|offset| Value::Int(i128::from(offset as i64)))
            }
            tag if is_pointer(tag) => self.pointer(&entry, object, level),
            tag if is_record(tag) => self.record(&entry, object, level),
            _ => Err(Absence::Unsupported("type not understood")),
        };
        found.unwrap_or_else(Value::Absent)
    }

    fn scalar(
        &self,
        die: Option<Die<'u, 'data>>,
        entry: &Entry<'u, 'data>,
        object: &Object,
    ) -> Result<Value<'data>, Absence> {
        let size = types::size_of(Some(entry.die), self.frame).ok_or(Absence::Unsupported("type without a size"))?;
        let size = usize::try_from(size).ok().filter(|&size| size <= 32);
        let size = size.ok_or(Absence::Unsupported("number wider than 32 bytes"))?;
        if encoding(entry) == Some(gimli::DW_ATE_complex_float) {
            let part = |offset| {
                let bits = object.at(offset).number(self.frame.context.space, size / 2)?;
                Ok(Field { name: None, value: scalar::float(entry, bits, size / 2, self.arch()) })
            };
            return Ok(Value::Struct { variant: None, fields: vec![part(0)?, part(size as u64 / 2)?] });
        }
        let bits = object.number(self.frame.context.space, size)?;
        Ok(self.bits(die, entry, bits, size * 8))
    }

    /// A number of so many bits.
    fn bits(&self, die: Option<Die<'u, 'data>>, entry: &Entry<'u, 'data>, bits: u128, width: usize) -> Value<'data> {
        match entry.tag {
            gimli::DW_TAG_enumeration_type => scalar::enumerator(entry, bits, width),
            _ if is_character(die) => Value::Char(bits as u32),
            _ => scalar::number(entry, bits, width, self.arch()),
        }
    }

    fn arch(&self) -> necropsy_model::Arch {
        self.frame.raw.registers.arch()
    }

    fn pointer(&self, entry: &Entry<'u, 'data>, object: &Object, level: Level) -> Result<Value<'data>, Absence> {
        let address = object.word(self.frame.context.space)?;
        let target = entry.type_die();
        if entry.tag == gimli::DW_TAG_pointer_type {
            return Ok(self.pointer_to(address, target, level));
        }
        // What a reference refers to is the value.
        if address == 0 || level.depth >= MAX_DEPTH {
            return Ok(Value::Pointer { address, symbol: None, target: None });
        }
        let target = Some(Box::new(self.value(target, &Object::Memory(address), level)));
        Ok(Value::Pointer { address, symbol: None, target })
    }

    /// A pointer with what is worth showing behind it: text, a function's name, one level of a structure.
    pub fn pointer_to(&self, address: u64, target: Option<Die<'u, 'data>>, level: Level) -> Value<'data> {
        let none = Value::Pointer { address, symbol: None, target: None };
        let Some(pointee) = defined(target).filter(|_| address != 0) else { return none };
        if is_character(target) {
            let width = types::size_of(target, self.frame).unwrap_or(1);
            let text = self.terminated_text(address, width).map(Box::new);
            return Value::Pointer { address, symbol: None, target: text };
        }
        if pointee.tag == gimli::DW_TAG_subroutine_type {
            return Value::Pointer { address, symbol: self.function_at(address), target: None };
        }
        if level.follow && level.depth == 0 && is_record(pointee.tag) {
            // One level: members are shown, what they hold or point at is not.
            let level = Level { depth: MAX_DEPTH - 1, follow: false };
            let target = self.value(target, &Object::Memory(address), level);
            return Value::Pointer { address, symbol: None, target: Some(Box::new(target)) };
        }
        none
    }

    /// The function that starts at an address, by debug information.
    fn function_at(&self, address: u64) -> Option<Text<'data>> {
        let file = self.frame.context.store.file_at(Avma(address))?;
        let lookup = svma(file, Avma(address));
        let function = file.function_at(lookup)?.read()?;
        function.ranges().iter().any(|&(start, _)| start == lookup.0).then(|| function.name())?
    }

    /// Text up to a zero, where it can be read.
    fn terminated_text(&self, address: u64, width: u64) -> Option<Value<'data>> {
        let mut bytes = Vec::new();
        let width = usize::try_from(width).ok().filter(|width| matches!(width, 1 | 2 | 4))?;
        for at in 0..MAX_TEXT {
            let unit = address.checked_add((at * width) as u64)?;
            let Ok(unit) = self.frame.context.space.read(Avma(unit), width) else {
                // Text that runs into missing memory is shown as far as it goes, nothing at all is not.
                return (at > 0).then(|| Value::Text { text: decode(&bytes, width).into(), cut: true });
            };
            if unit.iter().all(|&byte| byte == 0) {
                return Some(Value::Text { text: decode(&bytes, width).into(), cut: false });
            }
            bytes.extend_from_slice(unit);
        }
        Some(Value::Text { text: decode(&bytes, width).into(), cut: true })
    }

    /// Text of a known length, in units of `width` bytes.
    pub fn text(&self, object: &Object, length: u64, width: usize) -> Result<Value<'data>, Absence> {
        let shown = length.min(MAX_TEXT as u64) as usize;
        let space = self.frame.context.space;
        // Moved and dropped values keep their place in debug information. Seen in rustc's code at -O0 and -O2.
        if length > 0 && object.address().is_some_and(|address| crate::stop::is_freed(address, space)) {
            return Err(Absence::Freed);
        }
        let bytes = object.read(space, shown * width)?;
        Ok(Value::Text { text: decode(&bytes, width).into(), cut: length > shown as u64 })
    }

    fn array(&self, entry: &Entry<'u, 'data>, object: &Object, level: Level) -> Result<Value<'data>, Absence> {
        let dimensions = dimensions(entry, self.frame);
        let element = entry.type_die();
        if let ([Some(length)], true) = (dimensions.as_slice(), is_character(element)) {
            return self.character_array(element, object, *length);
        }
        let size = types::size_of(element, self.frame).ok_or(types::ONLY_DECLARED)?;
        Ok(self.elements(element, size, object, &dimensions, level))
    }

    /// A buffer of characters: the text up to the first zero.
    fn character_array(
        &self,
        element: Option<Die<'u, 'data>>,
        object: &Object,
        length: u64,
    ) -> Result<Value<'data>, Absence> {
        let width = types::size_of(element, self.frame).and_then(|width| usize::try_from(width).ok());
        let width =
            width.filter(|width| matches!(width, 1 | 2 | 4)).ok_or(Absence::Unsupported("width of a character"))?;
        let shown = length.min(MAX_TEXT as u64) as usize;
        let bytes = object.read(self.frame.context.space, shown * width)?;
        let end = bytes.chunks(width).position(|unit| unit.iter().all(|&byte| byte == 0));
        let text = decode(bytes.get(..end.unwrap_or(shown) * width).unwrap_or_default(), width);
        Ok(Value::Text { text: text.into(), cut: end.is_none() && length > shown as u64 })
    }

    /// Elements that lie one behind the other, in one or several dimensions.
    pub fn elements(
        &self,
        element: Option<Die<'u, 'data>>,
        size: u64,
        object: &Object,
        dimensions: &[Option<u64>],
        level: Level,
    ) -> Value<'data> {
        let Some((length, inner)) = dimensions.split_first() else { return self.value(element, object, level) };
        if level.depth >= MAX_DEPTH {
            return Value::Absent(Absence::TooDeep);
        }
        let row = inner.iter().try_fold(size, |size, count| size.checked_mul(count.unwrap_or(0)));
        let shown = (0..length.unwrap_or(0)).take(MAX_ELEMENTS as usize);
        let places = shown.map_while(|at| at.checked_mul(row?));
        let elements = places.map(|at| self.elements(element, size, &object.at(at), inner, level.inner()));
        Value::Array { elements: elements.collect(), length: *length }
    }

    /// A structure, class, union, tuple or variant.
    fn record(&self, entry: &Entry<'u, 'data>, object: &Object, level: Level) -> Result<Value<'data>, Absence> {
        if let Some(value) = pretty::read(self, entry, object, level) {
            return Ok(value);
        }
        if level.depth >= MAX_DEPTH {
            return Err(Absence::TooDeep);
        }
        if entry.flag(gimli::DW_AT_declaration) {
            return Err(types::ONLY_DECLARED);
        }
        let children = entry.children();
        if let Some(part) = children.iter().find(|child| child.tag == gimli::DW_TAG_variant_part) {
            return self.variant(part, object, level);
        }
        let mut fields = Vec::new();
        for child in &children {
            if fields.len() >= MAX_FIELDS {
                fields.push(Field { name: None, value: Value::Absent(Absence::TooDeep) });
                break;
            }
            fields.extend(self.field(child, object, level));
        }
        Ok(Value::Struct { variant: None, fields })
    }

    fn field(&self, member: &Entry<'u, 'data>, object: &Object, level: Level) -> Option<Field<'data>> {
        let base = member.tag == gimli::DW_TAG_inheritance;
        // The pointer to the virtual table is artificial, and so are the padding members of some compilers.
        if !base && (member.tag != gimli::DW_TAG_member || member.flag(gimli::DW_AT_artificial)) {
            return None;
        }
        let name = if base {
            let class = defined(member.type_die())?;
            // Libraries inherit from many classes without members, for overloads and empty allocators.
            if !holds_anything(&class, MAX_DEPTH) {
                return None;
            }
            class.text(gimli::DW_AT_name).map(|name| simplify(&name, true).into())
        } else {
            types::member_name(member)
        };
        let slot = slot(member)?;
        Some(Field { name, value: self.slot_value(member, slot, object, level) })
    }

    fn slot_value(&self, member: &Entry<'u, 'data>, slot: Slot, object: &Object, level: Level) -> Value<'data> {
        let die = member.type_die();
        match slot {
            Slot::Byte(offset) => self.value(die, &object.at(offset), level.inner()),
            Slot::Computed => {
                let value = match (member.value(gimli::DW_AT_data_member_location), object.address()) {
                    (Some(gimli::AttributeValue::Exprloc(expression)), Some(address)) => {
                        self.frame.compute(member.die.unit, expression, Some(address), 0)
                    }
                    _ => Err(Absence::Unsupported("virtual base of an object that is not in memory")),
                };
                match value {
                    Ok(address) => self.value(die, &Object::Memory(address), level.inner()),
                    Err(reason) => Value::Absent(reason),
                }
            }
            Slot::Bits(first, count) => {
                let Some(entry) = defined(die) else { return Value::Absent(types::ONLY_DECLARED) };
                let (start, skip) = (first / 8, first % 8);
                let Some(width) = usize::try_from(count).ok().filter(|&width| (1..=120).contains(&width)) else {
                    return Value::Absent(Absence::Unsupported("bit-field of an unknown width"));
                };
                let length = (skip as usize + width).div_ceil(8);
                match object.at(start).number(self.frame.context.space, length) {
                    Ok(bits) => self.bits(die, &entry, bits >> skip & ((1 << width) - 1), width),
                    Err(reason) => Value::Absent(reason),
                }
            }
        }
    }

    /// A variant of a Rust enumeration: the discriminant, or the niche that stands for it, selects one.
    fn variant(&self, part: &Entry<'u, 'data>, object: &Object, level: Level) -> Result<Value<'data>, Absence> {
        let children = part.children();
        let variants = || children.iter().filter(|child| child.tag == gimli::DW_TAG_variant);
        let discriminant = match part.reference(gimli::DW_AT_discr).and_then(Die::read) {
            Some(member) => {
                let size = types::size_of(member.type_die(), self.frame).unwrap_or(8).min(16) as usize;
                let Some(Slot::Byte(offset)) = slot(&member) else {
                    return Err(Absence::Unsupported("discriminant without a place"));
                };
                Some((object.at(offset).number(self.frame.context.space, size)?, size))
            }
            None => None,
        };
        let chosen = discriminant.and_then(|(wanted, size)| variants().find(|variant| selects(variant, wanted, size)));
        let default = || {
            variants().find(|variant| !variant.has(gimli::DW_AT_discr_value) && !variant.has(gimli::DW_AT_discr_list))
        };
        let variant = chosen.or_else(default).ok_or(Absence::Unsupported("discriminant of no variant"))?;
        let member = variant.children().into_iter().find(|child| child.tag == gimli::DW_TAG_member);
        let member = member.ok_or(Absence::Unsupported("variant without a member"))?;
        let Some(Slot::Byte(offset)) = slot(&member) else {
            return Err(Absence::Unsupported("variant without a place"));
        };
        let fields = match self.value(member.type_die(), &object.at(offset), level) {
            Value::Struct { fields, .. } => fields,
            other => vec![Field { name: None, value: other }],
        };
        Ok(Value::Struct { variant: member.text(gimli::DW_AT_name), fields })
    }
}

/// The class or one that it inherits from has a member.
fn holds_anything(class: &Entry<'_, '_>, left: usize) -> bool {
    let Some(left) = left.checked_sub(1) else { return true };
    class.children().iter().any(|child| match child.tag {
        gimli::DW_TAG_member => slot(child).is_some(),
        gimli::DW_TAG_inheritance => defined(child.type_die()).is_some_and(|base| holds_anything(&base, left)),
        _ => false,
    })
}

/// The variant stands for this discriminant, which has so many bytes.
fn selects(variant: &Entry<'_, '_>, wanted: u128, size: usize) -> bool {
    let number = match variant.value(gimli::DW_AT_discr_value) {
        Some(gimli::AttributeValue::Sdata(value)) => Some(i128::from(value) as u128),
        Some(gimli::AttributeValue::Data16(value)) => Some(value),
        Some(gimli::AttributeValue::Block(block)) => {
            let mut wide = [0; 16];
            wide.iter_mut().zip(block.slice()).for_each(|(to, from)| *to = *from);
            Some(u128::from_le_bytes(wide))
        }
        value => value.and_then(|value| value.udata_value()).map(u128::from),
    };
    let mask = u128::MAX >> (128 - size.clamp(1, 16) * 8);
    number.is_some_and(|number| number & mask == wanted & mask)
}

/// Text of UTF-8, UTF-16 or UTF-32; what is not valid is replaced.
fn decode(bytes: &[u8], width: usize) -> String {
    match width {
        2 => {
            let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        4 => {
            let units = bytes.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]));
            units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
