//! One step by call frame information: the registers of a caller from those of its callee and a row of rules.

use gimli::{Evaluation, EvaluationResult, Value};
use necropsy_model::{AddressState, Avma, Bias, Registers};

use super::cfi::{Cfa, Row, Rule};
use super::machine::Machine;
use crate::image::Slice;
use crate::space::AddressSpace;

/// Operations of one expression. The longest that compilers write (PLT entries, signal frames) have a dozen.
const MAX_OPERATIONS: u32 = 1_000;
/// Requests for memory or registers of one expression; fewer than operations, and it bounds a resumption loop of its own.
const MAX_REQUESTS: u32 = 256;

/// What a step recovers of the caller.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Its registers; the program counter is the return address, without authentication code.
    pub registers: Registers,
    /// Canonical frame address of the callee; `None` where a signal frame has none.
    pub cfa: Option<u64>,
    /// Where registers were read from.
    pub saved: Vec<(u16, u64)>,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The rules say that there is no caller.
    Outermost,
    /// A word that the rules need can not be read.
    Memory(Avma, AddressState),
    /// A register that the rules need is not known in this frame.
    Register(u16),
    /// An expression of the rules can not be evaluated.
    Expression,
}

/// Reads the state of a callee.
#[derive(Clone, Copy)]
pub(super) struct Callee<'a, 'data> {
    pub registers: &'a Registers,
    /// Where its registers were read from.
    pub saved: &'a [(u16, u64)],
    pub space: &'a AddressSpace<'a, 'data>,
    pub bias: Bias,
    /// All its registers hold: it was interrupted, or it is a signal trampoline.
    pub machine: &'static Machine,
}

impl<'data> Callee<'_, 'data> {
    /// Applies a row of rules.
    pub fn apply(&self, row: &Row<'data>) -> Result<Caller, Fault> {
        let machine = self.machine;
        let cfa = match row.cfa {
            Cfa::Register(register, offset) => {
                let value = self.registers.get(register).ok_or(Fault::Register(register))?;
                value.wrapping_add_signed(offset)
            }
            Cfa::Expression(code) => self.evaluate(row, code, None)?,
        };
        let mut caller = match (row.signal, row.preserves) {
            (true, _) => *self.registers,
            (false, true) => machine.across_call(self.registers),
            (false, false) => Registers::new(self.registers.arch()),
        };
        caller.clear(machine.pc);
        caller.set(machine.sp, cfa);
        let mut saved: Vec<(u16, u64)> =
            self.saved.iter().copied().filter(|&(register, _)| caller.get(register).is_some()).collect();
        for &(register, rule) in &row.rules {
            saved.retain(|&(other, _)| other != register);
            let slot = match rule {
                Rule::Offset(offset) => Some(cfa.wrapping_add_signed(offset)),
                Rule::Expression(code) => self.evaluate(row, code, Some(cfa)).ok(),
                _ => None,
            };
            let value = match rule {
                Rule::Undefined => None,
                Rule::Same => self.registers.get(register),
                Rule::ValOffset(offset) => Some(cfa.wrapping_add_signed(offset)),
                Rule::Register(other) => self.registers.get(other),
                Rule::ValExpression(code) => self.evaluate(row, code, Some(cfa)).ok(),
                Rule::Offset(_) | Rule::Expression(_) => slot.and_then(|slot| self.space.read_u64(Avma(slot)).ok()),
            };
            match value {
                Some(value) => caller.set(register, value),
                None => caller.clear(register),
            }
            saved.extend(value.and(slot).map(|slot| (register, slot)));
        }
        let address = self.return_address(row, cfa)?;
        caller.set(machine.pc, machine.strip(address, self.space));
        if let Some(lr) = machine.lr.filter(|_| !row.signal) {
            caller.set(lr, machine.strip(address, self.space));
        }
        Ok(Caller { registers: caller, cfa: Some(cfa), saved })
    }

    fn return_address(&self, row: &Row<'data>, cfa: u64) -> Result<u64, Fault> {
        let register = row.return_register;
        let word =
            |address: u64| self.space.read_u64(Avma(address)).map_err(|state| Fault::Memory(Avma(address), state));
        let known = |register| self.registers.get(register).ok_or(Fault::Register(register));
        match row.rule(register) {
            Some(Rule::Undefined) => Err(Fault::Outermost),
            None | Some(Rule::Same) => known(register),
            Some(Rule::Offset(offset)) => word(cfa.wrapping_add_signed(offset)),
            Some(Rule::ValOffset(offset)) => Ok(cfa.wrapping_add_signed(offset)),
            Some(Rule::Register(other)) => known(other),
            Some(Rule::Expression(code)) => word(self.evaluate(row, code, Some(cfa))?),
            Some(Rule::ValExpression(code)) => self.evaluate(row, code, Some(cfa)),
        }
    }

    /// Evaluates an expression of a row; rules of registers start with the CFA on the stack, the CFA's own does not.
    fn evaluate(&self, row: &Row<'data>, code: Slice<'data>, cfa: Option<u64>) -> Result<u64, Fault> {
        let mut evaluation = Evaluation::new(code, row.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let failed = |_: gimli::Error| Fault::Expression;
        let mut result = evaluation.evaluate().map_err(failed)?;
        for _ in 0..MAX_REQUESTS {
            result = match result {
                EvaluationResult::Complete => {
                    let value = evaluation.value_result().and_then(|value| value.to_u64(u64::MAX).ok());
                    return value.or_else(|| address_of(evaluation.as_result())).ok_or(Fault::Expression);
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    evaluation.resume_with_memory(Value::Generic(self.word(address, size)?)).map_err(failed)?
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.registers.get(register.0).ok_or(Fault::Register(register.0))?;
                    evaluation.resume_with_register(Value::Generic(value)).map_err(failed)?
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    let address = address.wrapping_add(self.bias.0);
                    evaluation.resume_with_relocated_address(address).map_err(failed)?
                }
                EvaluationResult::RequiresCallFrameCfa => {
                    evaluation.resume_with_call_frame_cfa(cfa.ok_or(Fault::Expression)?).map_err(failed)?
                }
                _ => return Err(Fault::Expression),
            };
        }
        Err(Fault::Expression)
    }

    /// A little-endian word of up to eight bytes.
    fn word(&self, address: u64, size: u8) -> Result<u64, Fault> {
        let bytes =
            self.space.read(Avma(address), usize::from(size)).map_err(|state| Fault::Memory(Avma(address), state))?;
        let mut word = [0; 8];
        word.get_mut(..bytes.len()).ok_or(Fault::Expression)?.copy_from_slice(bytes);
        Ok(u64::from_le_bytes(word))
    }
}

fn address_of(pieces: &[gimli::Piece<Slice<'_>>]) -> Option<u64> {
    match pieces {
        [gimli::Piece { location: gimli::Location::Address { address }, .. }] => Some(*address),
        _ => None,
    }
}
