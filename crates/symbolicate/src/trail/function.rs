//! The code of one function: instructions found by following it from its entry, who comes before whom, and where the stack
//! pointer stands.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::fold;
use super::machine::Machine;
use super::op::{Arith, Flow, Insn, Mem, Op, Reg, Src};
use crate::space::AddressSpace;

/// Instructions of one function that are read; generated parsers have some ten thousand.
pub(super) const MAX_INSTRUCTIONS: usize = 40_000;

/// An edge to an instruction: from which one, and whether as a branch that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub from: usize,
    pub taken: bool,
}

/// Where stack and frame pointer stand, counted from the canonical frame address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stack {
    pub sp: Option<i64>,
    pub fp: Option<i64>,
    /// The two registers.
    registers: (Reg, Reg),
}

impl Stack {
    /// Where the two registers of a machine stand.
    pub fn new(machine: &Machine, sp: Option<i64>, fp: Option<i64>) -> Self {
        Self { sp, fp, registers: (machine.sp, machine.fp) }
    }

    /// As a call leaves it.
    fn entry(machine: &Machine) -> Self {
        Self::new(machine, Some(machine.entry), None)
    }

    fn of(self, register: Reg) -> Option<i64> {
        let (sp, fp) = self.registers;
        if register == sp {
            self.sp
        } else if register == fp {
            self.fp
        } else {
            None
        }
    }

    fn after(self, insn: &Insn) -> Self {
        let mut next = self;
        for op in &insn.ops {
            let (to, offset) = match *op {
                Op::Set { to, from: Src::Reg(from), .. } => (to.reg, self.of(from.reg)),
                Op::Set { to, from: Src::Address(mem), .. } => (to.reg, self.slot(&mem)),
                Op::Compute { to, kind, left: Src::Reg(left), right: Src::Const(by), .. } => {
                    let by = match kind {
                        Arith::Add => Some(by.cast_signed()),
                        Arith::Sub => by.cast_signed().checked_neg(),
                        _ => None,
                    };
                    (to.reg, self.of(left.reg).zip(by).and_then(|(offset, by)| offset.checked_add(by)))
                }
                Op::Set { to, .. } | Op::MaySet { to, .. } | Op::Compute { to, .. } => (to.reg, None),
                Op::Write(reg) => (reg, None),
                Op::Store { .. } | Op::Update { .. } | Op::Fill { .. } => continue,
            };
            if to == self.registers.0 {
                next.sp = offset;
            } else if to == self.registers.1 {
                next.fp = offset;
            }
        }
        next
    }

    /// The slot that an operand names, counted from the canonical frame address.
    pub fn slot(self, mem: &Mem) -> Option<i64> {
        let base = self.of(mem.base?)?;
        base.checked_add(mem.displacement).filter(|_| mem.index.is_none() && !mem.thread_local)
    }
}

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    /// Its first instruction.
    pub entry: u64,
    /// Instructions by address.
    pub insns: Vec<Insn>,
    index: HashMap<u64, usize>,
    before: Vec<Vec<Edge>>,
    after: Vec<Vec<usize>>,
    stack: Vec<Stack>,
    /// Returns.
    pub returns: Vec<usize>,
    /// Jumps to other functions.
    pub tails: Vec<(usize, Src)>,
    /// Some of its code was not reached: a jump whose table was not found, or a limit.
    pub incomplete: bool,
    /// It calls `setjmp`.
    pub returns_twice: bool,
}

/// What is needed to read a function.
pub(super) struct Reader<'a, 'b, 'data> {
    pub space: &'a AddressSpace<'b, 'data>,
    pub machine: &'static Machine,
    /// Where its code lies; the first begins with its entry or lies behind it.
    pub ranges: Vec<(u64, u64)>,
    /// Whether a call comes back.
    pub comes_back: &'a mut dyn FnMut(&Insn) -> bool,
    /// Where the instructions begin, one after the other; looked for when it is needed.
    pub in_order: OnceCell<BTreeSet<u64>>,
}

impl Reader<'_, '_, '_> {
    pub(super) fn inside(&self, address: u64) -> bool {
        self.ranges.iter().any(|&(start, end)| start <= address && address < end)
    }

    /// Reads a function from its entry; `also` are addresses known to have run, with the stack there.
    pub fn read(mut self, entry: u64, also: &[(u64, Stack)]) -> Option<Function> {
        let mut found: BTreeMap<u64, (Insn, Stack)> = BTreeMap::new();
        let mut open = vec![(entry, Stack::entry(self.machine))];
        let mut tables: HashMap<u64, Vec<u64>> = HashMap::new();
        let mut tails = Vec::new();
        let mut incomplete = false;
        let mut seeds = also.iter().copied();
        loop {
            while let Some((mut at, mut stack)) = open.pop() {
                while !found.contains_key(&at) {
                    if found.len() >= MAX_INSTRUCTIONS || !self.inside(at) {
                        incomplete = true;
                        break;
                    }
                    let Some(insn) = self.machine.decode(self.space, at) else {
                        incomplete = true;
                        break;
                    };
                    let (next, flow, after) = (insn.next, insn.flow, stack.after(&insn));
                    let goes_on = !matches!(flow, Flow::Call(_)) || (self.comes_back)(&insn);
                    found.insert(at, (insn, stack));
                    stack = after;
                    match flow {
                        Flow::Next => {}
                        Flow::Call(_) if goes_on => {}
                        Flow::Branch(target, _) => {
                            if self.inside(target) {
                                open.push((target, stack));
                            } else {
                                tails.push((at, Src::Const(target)));
                            }
                        }
                        Flow::Jump(target) if self.inside(target) => {
                            at = target;
                            continue;
                        }
                        Flow::Jump(target) => {
                            tails.push((at, Src::Const(target)));
                            break;
                        }
                        Flow::JumpTo(source) => {
                            let targets = self.table(at, source, &found);
                            if targets.is_empty() && stack.sp == Some(self.machine.entry) {
                                tails.push((at, source));
                            } else {
                                incomplete |= targets.is_empty();
                                open.extend(targets.iter().map(|&target| (target, stack)));
                                tables.insert(at, targets);
                            }
                            break;
                        }
                        Flow::Call(_) | Flow::Return | Flow::Stop => break,
                    }
                    at = next;
                }
            }
            match seeds.next() {
                Some((at, stack)) if !found.contains_key(&at) => {
                    incomplete = true;
                    open.push((at, stack));
                }
                Some(_) => {}
                None => break,
            }
        }
        (!found.is_empty()).then(|| self.join(entry, found, &tables, &tails, incomplete))
    }

    fn join(
        &mut self,
        entry: u64,
        found: BTreeMap<u64, (Insn, Stack)>,
        tables: &HashMap<u64, Vec<u64>>,
        tails: &[(u64, Src)],
        incomplete: bool,
    ) -> Function {
        let (mut insns, stack): (Vec<_>, Vec<_>) = found.into_values().unzip();
        let index: HashMap<u64, usize> = insns.iter().enumerate().map(|(at, insn)| (insn.at, at)).collect();
        let mut before = vec![Vec::new(); insns.len()];
        let mut after = vec![Vec::new(); insns.len()];
        let mut link = |from: usize, to: u64, taken: bool| {
            if let Some(&to) = index.get(&to) {
                if let Some(edges) = before.get_mut(to) {
                    edges.push(Edge { from, taken });
                }
                if let Some(edges) = after.get_mut(from) {
                    edges.push(to);
                }
            }
        };
        let mut returns = Vec::new();
        for (from, insn) in insns.iter().enumerate() {
            match insn.flow {
                Flow::Next => link(from, insn.next, false),
                Flow::Call(_) => {
                    if (self.comes_back)(insn) {
                        link(from, insn.next, false);
                    }
                }
                Flow::Branch(target, _) => {
                    link(from, insn.next, false);
                    link(from, target, true);
                }
                Flow::Jump(target) => link(from, target, false),
                Flow::JumpTo(_) => {
                    for &target in tables.get(&insn.at).into_iter().flatten() {
                        link(from, target, false);
                    }
                }
                Flow::Return => returns.push(from),
                Flow::Stop => {}
            }
        }
        if self.machine.folds {
            // What is known to have run without a way there begins with nothing known.
            let nowhere = |at: &usize| before.get(*at).is_some_and(Vec::is_empty);
            let entries: Vec<usize> =
                index.get(&entry).copied().into_iter().chain((0..insns.len()).filter(nowhere)).collect();
            fold::fold(&mut insns, &entries, &after, self.machine);
        }
        let tails = tails.iter().filter_map(|&(at, target)| Some((*index.get(&at)?, target))).collect();
        Function { entry, insns, index, before, after, stack, returns, tails, incomplete, returns_twice: false }
    }
}

impl Function {
    /// The instruction at an address.
    pub fn at(&self, address: u64) -> Option<usize> {
        self.index.get(&address).copied()
    }

    /// Calls of constant targets.
    pub fn direct_calls(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.insns.iter().enumerate().filter_map(|(at, insn)| match insn.flow {
            Flow::Call(Src::Const(target)) => Some((at, target)),
            _ => None,
        })
    }

    /// One instruction can be reached from another, or is it.
    pub fn leads(&self, from: usize, to: usize) -> bool {
        self.leads_without(from, to, None)
    }

    /// The same by a way that does not touch a third.
    pub fn can_pass_by(&self, from: usize, around: usize, to: usize) -> bool {
        self.leads_without(from, to, Some(around))
    }

    fn leads_without(&self, from: usize, to: usize, around: Option<usize>) -> bool {
        let mut seen = vec![false; self.insns.len()];
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if Some(at) == around || seen.get(at).copied().unwrap_or(true) {
                continue;
            }
            if at == to {
                return true;
            }
            seen[at] = true;
            open.extend(self.after(at));
        }
        false
    }

    /// The one instruction behind another from which a third can be reached. Where the stack may have to grow first (Go), there
    /// are two behind.
    pub fn only_way(&self, at: usize, to: usize) -> Option<usize> {
        match self.after(at) {
            &[next] => Some(next),
            several => {
                let mut leading = several.iter().copied().filter(|&next| self.leads(next, to));
                leading.next().filter(|_| leading.next().is_none())
            }
        }
    }

    /// Calls that do not come back.
    pub fn dead_ends(&self) -> impl Iterator<Item = usize> + '_ {
        let calls = self.insns.iter().enumerate().filter(|(_, insn)| matches!(insn.flow, Flow::Call(_)));
        calls.map(|(at, _)| at).filter(|&at| self.after(at).is_empty())
    }

    /// Behind an instruction, control may also come from these.
    pub fn link_back(&mut self, at: usize, from: &[usize]) {
        for next in self.after.get(at).cloned().unwrap_or_default() {
            if let Some(edges) = self.before.get_mut(next) {
                edges.extend(from.iter().map(|&from| Edge { from, taken: false }));
            }
        }
    }

    /// The edges that lead to an instruction.
    pub fn before(&self, index: usize) -> &[Edge] {
        self.before.get(index).map(Vec::as_slice).unwrap_or_default()
    }

    /// The instructions that an instruction leads to.
    pub fn after(&self, index: usize) -> &[usize] {
        self.after.get(index).map(Vec::as_slice).unwrap_or_default()
    }

    /// Stack and frame pointer before an instruction.
    pub fn stack(&self, index: usize) -> Stack {
        self.stack.get(index).copied().unwrap_or_default()
    }

    /// The instruction that begins the function.
    pub fn first(&self) -> Option<usize> {
        self.at(self.entry)
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Avma, Memory, Permissions, Region};

    use super::*;
    use crate::image::Images;

    const START: u64 = 0x1000;

    fn with_reader<T>(code: &'static [u8], look: impl FnOnce(Reader<'_, '_, '_>) -> T) -> T {
        let end = Avma(START + code.len() as u64);
        let permissions = Some(Permissions { read: true, write: false, execute: true });
        let region =
            Region { start: Avma(START), end, permissions, bytes: code, dumped: code.len() as u64, file: None };
        let (memory, images) = (Memory::new(vec![region]), Images::default());
        let space = AddressSpace::new(&memory, &images);
        let mut comes_back = |insn: &Insn| insn.next != START + 5;
        let machine = Machine::of(necropsy_model::Arch::X86_64, super::super::machine::Convention::C).unwrap();
        look(Reader {
            space: &space,
            machine,
            ranges: vec![(START, end.0)],
            comes_back: &mut comes_back,
            in_order: OnceCell::new(),
        })
    }

    fn read(code: &'static [u8]) -> Function {
        with_reader(code, |reader| reader.read(START, &[]).unwrap())
    }

    #[test]
    fn a_table_without_a_limit_ends_before_the_next_one() {
        // lea rcx, [rip+5]; jmp [rcx+rax*8]; ret; nop
        let code: &[u8] = &[0x48, 0x8d, 0x0d, 5, 0, 0, 0, 0xff, 0x24, 0xc1, 0xc3, 0x90];
        assert!(with_reader(code, |reader| reader.begins_instruction(START + 7)));
        assert!(!with_reader(code, |reader| reader.begins_instruction(START + 8)));
        // Nothing is known behind what can not be read as code.
        assert!(with_reader(&[0xc3, 0x06, 0x90], |reader| reader.begins_instruction(START + 2)));
    }

    #[test]
    fn the_only_way_on_and_where_two_lead_there() {
        // test edi, edi; je L; push rbx; pop rbx; L: ret
        let function = read(&[0x85, 0xff, 0x74, 2, 0x53, 0x5b, 0xc3]);
        assert_eq!(
            [function.only_way(0, 4), function.only_way(1, 4), function.only_way(1, 3)],
            [Some(1), None, Some(2)]
        );
        assert!(function.leads(0, 4) && !function.leads(4, 0) && function.leads(2, 2));
    }

    #[test]
    fn both_ways_of_a_branch_lead_to_the_end() {
        // test edi, edi; je L; push rbx; pop rbx; L: ret
        let function = read(&[0x85, 0xff, 0x74, 2, 0x53, 0x5b, 0xc3]);
        assert_eq!(function.returns, [4]);
        let from: Vec<_> = function.before(4).iter().map(|edge| (edge.from, edge.taken)).collect();
        assert_eq!(from, [(1, true), (3, false)]);
        assert!(!function.incomplete);
    }

    #[test]
    fn a_branch_passes_by_what_only_one_of_its_ways_has() {
        // test edi, edi; je L; push rbx; pop rbx; L: ret
        let function = read(&[0x85, 0xff, 0x74, 2, 0x53, 0x5b, 0xc3]);
        assert!(function.can_pass_by(0, 2, 4));
        assert!(!function.can_pass_by(0, 1, 4));
        assert!(!function.can_pass_by(2, 3, 4));
    }

    #[test]
    fn the_stack_pointer_is_known_at_every_instruction() {
        // push rbp; mov rbp, rsp; sub rsp, 0x10; leave; ret
        let function = read(&[0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x10, 0xc9, 0xc3]);
        let stacks: Vec<_> = (0..5).map(|at| function.stack(at).sp).collect();
        assert_eq!(stacks, [Some(-8), Some(-16), Some(-16), Some(-32), Some(-8)]);
        assert_eq!(function.stack(3).fp, Some(-16));
    }

    #[test]
    fn nothing_follows_a_call_that_does_not_come_back() {
        // call +0; nop; ret
        let function = read(&[0xe8, 0, 0, 0, 0, 0x90, 0xc3]);
        assert_eq!((function.insns.len(), function.returns.len()), (1, 0));
    }

    #[test]
    fn jumps_out_of_the_function_are_tail_calls() {
        // jmp +0x100
        let function = read(&[0xe9, 0, 1, 0, 0, 0xc3]);
        assert_eq!(function.tails, [(0, Src::Const(START + 0x105))]);
    }
}
