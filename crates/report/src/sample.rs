//! Literal snapshots that the tests print.

use std::time::Duration;

use necropsy_model::advice::{Claim, Complaint, Standing};
use necropsy_model::jvm::{Joined, JvmFacts};
use necropsy_model::{
    Absence, Access, Activity, AddressState, Arch, Avma, Bias, BuildId, CodeAddress, Command, Confidence, Deadlock,
    DeadlockThread, Evidence, Evidenced, Fault, FaultOperand, Fetched, Field, Finding, Frame, FrameKind, Gap, Grade,
    Group, Groups, Identity, LabelsId, Location, Lock, Message, MessageKind, Missing, Module, ModuleId, Origin,
    Permissions, Place, Process, Registers, Role, Runtime, Sender, Severity, Signal, Snapshot, Source, Stack, StackEnd,
    StackId, State, Stop, Suitability, SuitabilityStatus, Svma, Symbol, SymbolSource, SymbolStatus, Symbols, Symptom,
    Thread, ThreadFlags, ThreadId, TrailStep, Trust, Value, Variable, VariableKind, Verdict, Verified, Wait, WaitKind,
    WaitSpread, Warning, Writer,
};

use crate::{Input, Report};

/// All that a report is made of, owned.
pub(crate) struct Sample {
    pub input: Input,
    pub snapshot: Snapshot<'static>,
    pub groups: Groups,
    pub verdict: Verdict<'static>,
}

impl Sample {
    pub(crate) fn report(&self) -> Report<'_, 'static> {
        let Self { input, snapshot, groups, verdict } = self;
        Report { input, snapshot, groups, verdict, owner: None }
    }

    fn new(path: &str, bytes: u64, snapshot: Snapshot<'static>) -> Self {
        let input = Input { path: path.to_owned(), bytes, ..Input::default() };
        Self { input, snapshot, groups: Groups::default(), verdict: Verdict::default() }
    }
}

fn location(file: &'static str, line: u32, text: Option<&'static str>) -> Location<'static> {
    Location { text: text.map(Into::into), ..Location::new(file, Some(line)) }
}

fn variable(
    kind: VariableKind,
    name: &'static str,
    type_name: &'static str,
    value: Value<'static>,
) -> Variable<'static> {
    Variable { name: Some(name.into()), type_name: Some(type_name.into()), kind, value }
}

fn pointer(address: u64) -> Value<'static> {
    Value::Pointer { address, symbol: None, target: None }
}

/// A frame of the program itself, with its debug information.
fn native(function: &'static str, at: Location<'static>, pc: u64, trust: Trust) -> Frame<'static> {
    let address = match trust {
        Trust::Context => CodeAddress::Instruction(Avma(pc)),
        _ => CodeAddress::Return(Avma(pc)),
    };
    Frame {
        function: Some(function.into()),
        module: ModuleId::new(0),
        svma: Some(Svma(pc - 0x5555_5555_4000)),
        location: Some(at),
        optimized: true,
        symbol: Symbol::Found(SymbolSource::Dwarf),
        ..Frame::at(Some(address), trust)
    }
}

fn module(path: &'static str, base: u64, symbols: Symbols) -> Module<'static> {
    Module {
        path: path.into(),
        deleted: false,
        build_id: BuildId::new(&base.to_be_bytes().repeat(3)[..20]),
        base: Avma(base),
        size: 0x5000,
        bias: Some(Bias(base)),
        stated: None,
        is_executable: base < 0x7000_0000_0000,
        symbols,
        identity: None,
    }
}

/// Adds a thread on a stack of these frames.
fn thread(
    snapshot: &mut Snapshot<'static>,
    id: u64,
    name: Option<&'static str>,
    frames: Vec<Frame<'static>>,
) -> StackId {
    let frames = frames.into_iter().filter_map(|frame| snapshot.add_frame(frame)).collect();
    let stack = snapshot.add_stack(Stack { frames, gap: None, end: StackEnd::Complete }).unwrap();
    let mut thread = Thread::new(ThreadId(id), Source::offset(0x350));
    thread.stack = Some(stack);
    if name.is_some() {
        thread.detail_mut().name = name.map(Into::into);
    }
    snapshot.threads.push(thread);
    stack
}

fn group(threads: std::ops::Range<u32>, stack: StackId, signature: &str) -> Group {
    Group {
        signature: signature.to_owned(),
        threads: threads.collect(),
        state: None,
        stack: Some(stack),
        created_by: None,
        waited: None,
        background: false,
        title: None,
    }
}

fn suitable(why: &str) -> Suitability {
    Suitability { status: SuitabilityStatus::Right, why: why.to_owned(), take_instead: Vec::new() }
}

/// A C program at -O2 that read a field through NULL: every frame another kind of doubt.
pub(crate) fn crash() -> Sample {
    let mut snapshot = Snapshot { format: "elf-core", ..Snapshot::default() };
    snapshot.process = Process {
        pid: Some(4242),
        exe: Some("/srv/ledger/refund".into()),
        command_line: Some("/srv/ledger/refund --batch 7".into()),
        arch: Some(Arch::X86_64),
        os: Some("linux".into()),
        writer: Some(Writer::Kernel),
        ..Process::default()
    };
    let full = Symbols {
        status: SymbolStatus::Full,
        from: Some("/srv/ledger/refund".to_owned()),
        verified: Some(Verified::BuildId),
        reason: None,
        fetched: Vec::new(),
    };
    let none = Symbols { status: SymbolStatus::NotFound, ..Symbols::default() };
    snapshot.modules = vec![
        module("/srv/ledger/refund", 0x5555_5555_4000, full),
        module("/usr/lib/x86_64-linux-gnu/libc.so.6", 0x7fff_f7d8_0000, none),
    ];
    let argument = VariableKind::Argument;
    let mut victim = native(
        "apply_refund",
        location("/srv/ledger/src/refund.c", 12, Some("    long balance = acct->balance;")),
        0x5555_5555_5136,
        Trust::Context,
    );
    victim.variables = vec![
        variable(argument, "acct", "struct account *", pointer(0)),
        variable(argument, "amount", "long", Value::Int(250)),
        variable(VariableKind::Local, "balance", "long", Value::Absent(Absence::OptimizedOut)),
    ];
    let mut tail =
        native("process_event", location("/srv/ledger/src/refund.c", 17, None), 0x5555_5555_5177, Trust::TailCall);
    tail.variables = vec![
        variable(argument, "ev", "const struct event *", pointer(0x7fff_ffff_e3a0)),
        variable(
            argument,
            "name",
            "const char *",
            Value::Pointer {
                address: 0x5555_5555_6010,
                symbol: None,
                target: Some(Box::new(Value::Text { text: "refund \"fast\"".into(), cut: false })),
            },
        ),
    ];
    let mut inlined = native("dispatch", location("/srv/ledger/src/main.c", 40, None), 0x5555_5555_5190, Trust::Cfi);
    inlined.inlined = true;
    let mut library = Frame::at(Some(CodeAddress::Return(Avma(0x7fff_f7da_1d0a))), Trust::FramePointer);
    library.module = ModuleId::new(1);
    library.svma = Some(Svma(0x2_1d0a));
    library.symbol = Symbol::Missing(Missing::FileNotFound);
    let mut scanned = native("main", location("/srv/ledger/src/main.c", 51, None), 0x5555_5555_51b0, Trust::Scanned);
    scanned.symbol = Symbol::Found(SymbolSource::Nearest);
    thread(&mut snapshot, 4242, Some("ledger"), vec![victim, tail, inlined, library, scanned]);
    let idle = || native("idle", location("/srv/ledger/src/pool.c", 9, None), 0x5555_5555_5200, Trust::Context);
    let pool = thread(&mut snapshot, 4243, Some("pool-1"), vec![idle()]);
    for id in 4244..4251 {
        let mut other = snapshot.threads[1].clone();
        other.id = ThreadId(id);
        snapshot.threads.push(other);
    }
    snapshot.stop = Some(Stop {
        signal: Some(Signal { number: Signal::SEGV, code: Some(1) }),
        thread: Some(0),
        address: Some(Avma(8)),
        fault: Some(Fault {
            pc: Avma(0x5555_5555_5136),
            instruction: Some("mov rax, [rdi+8]".to_owned()),
            access: Some(Access::Read),
            address: Some(Avma(8)),
            size: Some(8),
            operand: Some(FaultOperand {
                base: Some(("rdi", 0)),
                index: None,
                displacement: 8,
                text: "[rdi+8]".to_owned(),
            }),
            state: Some(AddressState::NotMapped),
            expression: Some("acct->balance".to_owned()),
            pointer: Some("acct".to_owned()),
            ..Fault::default()
        }),
        source: Some(Source::offset(0x60c)),
        ..Stop::default()
    });
    snapshot.warnings = vec![Warning::new("the note of an unknown type was skipped", Source::offset(0x1f0))];
    let mut sample = Sample::new("core.4242", 700_000, snapshot);
    sample.groups.groups = vec![group(1..9, pool, "00c0ffee00c0ffee")];
    let headline = "apply_refund read acct->balance through a NULL pointer (SIGSEGV, address 0x8)";
    sample.verdict = Verdict {
        symptom: Symptom::NativeCrash,
        headline: headline.to_owned(),
        confidence: Confidence::High,
        suitability: suitable("it holds the registers and the stack of the thread that crashed"),
        crash_site: sample.snapshot.place(0, 0, Role::Victim),
        findings: vec![Finding {
            rule: "null-dereference",
            severity: Severity::Critical,
            confidence: Confidence::High,
            title: headline.to_owned(),
            places: sample.snapshot.place(0, 0, Role::Victim).into_iter().collect(),
            evidence: vec![
                Evidence::new("rdi was 0 at the instruction mov rax, [rdi+8]", Source::offset(0x60c)),
                Evidence::new("address 0x8 lies in no mapping", Source::DUMP),
            ],
            next: vec!["see which call gave acct to process_event, and whether it may return NULL".to_owned()],
        }],
        ..Verdict::default()
    };
    sample
}

/// The same crash, with the origin found.
pub(crate) fn crash_with_origin() -> Sample {
    let mut sample = crash();
    let at = |frame, role| sample.snapshot.place(0, frame, role).unwrap();
    let birth = Place {
        frame: None,
        function: Some("lookup_account".into()),
        location: Some(location("/srv/ledger/src/accounts.c", 33, Some("\treturn NULL;"))),
        role: Role::Origin,
        ..at(0, Role::Origin)
    };
    let step = |frame, step, text: &str| TrailStep {
        place: at(frame, Role::Related),
        step,
        text: text.to_owned(),
        source: Source::offset(0x700),
    };
    sample.verdict.origin = Some(Origin {
        kind: "returned-by-call".to_owned(),
        value: Some("NULL".to_owned()),
        confidence: Confidence::Medium,
        grade: Grade::AMinus,
        why: "the call's result, and nothing else fits".to_owned(),
        not_checked: vec!["other threads".to_owned()],
        gate: Some(at(1, Role::Gate)),
        handed_through: vec![at(1, Role::HandedThrough)],
        alternatives: vec![at(2, Role::Related)],
        trail: vec![
            step(0, "argument", "acct came in rdi"),
            step(1, "call-result", "rdi is what lookup_account returned"),
        ],
        birth,
    });
    sample
}

/// A core taken of a process that hangs: two threads wait, one runs.
pub(crate) fn hang() -> Sample {
    let mut sample = crash();
    let snapshot = &mut sample.snapshot;
    snapshot.process.writer = Some(Writer::Gcore);
    snapshot.stop = None;
    snapshot.warnings.clear();
    let waiting = snapshot.intern_state(State { text: "in futex wait".into(), activity: Activity::Signal });
    let running = snapshot.intern_state(State { text: "running".into(), activity: Activity::Running });
    for (index, thread) in snapshot.threads.iter_mut().enumerate() {
        thread.state = if index == 0 { running } else { waiting };
        let cpu = if index == 0 { 754_000 } else { 20 };
        thread.detail_mut().cpu = Some(Duration::from_millis(cpu));
    }
    let busy = Group { state: running, ..group(0..1, StackId::new(0).unwrap(), "00000000000000aa") };
    let idle = Group { state: waiting, ..group(1..9, StackId::new(1).unwrap(), "00000000000000bb") };
    sample.groups.groups = vec![idle, busy];
    sample.verdict = Verdict {
        symptom: Symptom::HangBusy,
        headline: "thread 4242 runs in apply_refund and 8 threads wait".to_owned(),
        confidence: Confidence::Medium,
        suitability: Suitability {
            status: SuitabilityStatus::Partial,
            why: "one dump shows where it runs, not whether it moves".to_owned(),
            take_instead: vec![Command {
                what: "a second core after ten seconds".to_owned(),
                command: "sleep 10 && gcore -o core 4242".to_owned(),
                cost: "pause: a second".to_owned(),
            }],
        },
        ..Verdict::default()
    };
    sample
}

/// A Go dump: ten thousand goroutines in `groups` groups, the last ones idle background.
pub(crate) fn goroutines(groups: u32, of: u32) -> Sample {
    let mut snapshot = Snapshot { format: "go-goroutines", ..Snapshot::default() };
    snapshot.process.runtime = Some(Runtime::Go);
    let receive = snapshot.intern_state(State { text: "chan receive".into(), activity: Activity::Signal });
    let idle = snapshot.intern_state(State { text: "IO wait".into(), activity: Activity::Idle });
    let creator = snapshot.add_frame(Frame::printed("main.startWorkers", Some(location("/app/jobs.go", 70, None))));
    let mut all = Vec::new();
    let mut next = 0;
    for number in 0..groups {
        let size = if number == 0 { of - (groups - 1) * 7 } else { 7 };
        let mut park = Frame::printed("runtime.gopark", Some(location("/go/src/runtime/proc.go", 435, None)));
        park.kind = FrameKind::Runtime;
        let worker = Frame::printed("main.worker", Some(location("/app/jobs.go", 88 + number, None)));
        let start = Frame::printed("main.startWorkers.func1", Some(location("/app/jobs.go", 71, None)));
        let frames = [park, worker, start].into_iter().filter_map(|frame| snapshot.add_frame(frame)).collect();
        let stack = snapshot.add_stack(Stack { frames, ..Stack::default() }).unwrap();
        let background = number + 2 >= groups && groups > 4;
        for index in next..next + size {
            let mut thread = Thread::new(ThreadId(u64::from(index) + 18), Source::line(u64::from(index) * 9 + 412));
            thread.stack = Some(stack);
            thread.state = if background { idle } else { receive };
            thread.waited_s = 2820;
            snapshot.threads.push(thread);
        }
        let spread = WaitSpread { min_s: 120, median_s: 2820, max_s: 11_520, known: size as usize };
        all.push(Group {
            state: if background { idle } else { receive },
            created_by: creator,
            waited: Some(if number == 0 { WaitSpread { min_s: 2820, max_s: 2820, ..spread } } else { spread }),
            background,
            ..group(next..next + size, stack, &format!("{number:016x}"))
        });
        next += size;
    }
    let mut sample = Sample::new("-", 49_109_973, snapshot);
    sample.groups.groups = all;
    let headline = format!(
        "{} goroutines wait in chan receive at jobs.go:88, and nobody in the dump sends",
        of - (groups - 1) * 7
    );
    sample.verdict = Verdict {
        symptom: Symptom::HangIdle,
        headline: headline.clone(),
        confidence: Confidence::Medium,
        suitability: suitable("a goroutine dump shows who waits where"),
        findings: vec![Finding {
            rule: "stuck-consumers",
            severity: Severity::Critical,
            confidence: Confidence::Medium,
            title: headline,
            places: Vec::new(),
            evidence: vec![Evidence::new("no goroutine is in a send", Source::line(3))],
            next: vec!["look for the producer that ended: it was to feed jobs.go:88".to_owned()],
        }],
        ..Verdict::default()
    };
    sample
}

/// A Java dump with two threads that wait for each other.
pub(crate) fn deadlock() -> Sample {
    let mut snapshot = Snapshot { format: "java-threads", ..Snapshot::default() };
    snapshot.process.runtime = Some(Runtime::Jvm);
    snapshot.process.runtime_version = Some("OpenJDK 64-Bit Server VM (21.0.2+13)".into());
    let blocked = snapshot.intern_state(State { text: "BLOCKED (on object monitor)".into(), activity: Activity::Lock });
    let ledger = |id| Lock { id, name: Some("com.app.Ledger".into()) };
    let mut cycle = Vec::new();
    let mut groups = Vec::new();
    for (number, name, holds, wants) in [(21, "Thread-0", 0x76ab, 0x76bc), (22, "Thread-1", 0x76bc, 0x76ab)] {
        let at = Frame::printed("com.app.Ledger.transfer", Some(location("Ledger.java", 41, None)));
        let run = Frame::printed("java.lang.Thread.run", Some(location("Thread.java", 1583, None)));
        let stack = thread(&mut snapshot, number, Some(name), vec![at, run]);
        let index = snapshot.threads.len() - 1;
        let thread = &mut snapshot.threads[index];
        thread.source = Source::line(number * 10);
        thread.state = blocked;
        cycle.push(DeadlockThread {
            id: ThreadId(number),
            name: Some(name.into()),
            at: snapshot.place(index, 0, Role::Waiter),
            holds: vec![ledger(holds)],
            waits_for: ledger(wants),
            kind: WaitKind::Lock,
        });
        groups.push(Group { state: blocked, ..group(index as u32..index as u32 + 1, stack, "00000000000000dd") });
    }
    let mut sample = Sample::new("threads.txt", 12_345, snapshot);
    sample.groups.groups = groups;
    sample.verdict = Verdict {
        symptom: Symptom::HangIdle,
        headline: "two threads hold a Ledger each and wait for the other's".to_owned(),
        confidence: Confidence::High,
        suitability: suitable("a thread dump names the owners of the locks"),
        deadlocks: vec![Deadlock { threads: cycle }],
        ..Verdict::default()
    };
    sample
}

/// Every field of the model that the JSON shows is set.
pub(crate) fn full() -> Sample {
    let mut sample = crash_with_origin();
    sample.input.compression = Some("zstd");
    if let Some(origin) = &mut sample.verdict.origin {
        let unnamed =
            origin.alternatives.iter().map(|place| Place { function: None, svma: Some(Svma(0x1180)), ..place.clone() });
        let unnamed: Vec<_> = unnamed.collect();
        origin.alternatives.extend(unnamed);
    }
    let place = || crash().snapshot.place(0, 0, Role::Victim).unwrap();
    let snapshot = &mut sample.snapshot;
    snapshot.hs_err = Some(Box::new(crate::sample_hs_err::log()));
    let joined = Joined {
        format: "java-dump-file",
        path: "all.json".into(),
        threads: 3,
        virtual_threads: 2,
        stacks: 1,
        objects: 2,
    };
    snapshot.jvm = Some(Box::new(JvmFacts { joined: Some(joined), ..JvmFacts::default() }));
    let process = &mut snapshot.process;
    (process.parent_pid, process.uid) = (Some(1), Some(1000));
    process.runtime = Some(Runtime::Native);
    process.runtime_version = Some("glibc 2.36".into());
    process.build_id = BuildId::new(&[0xab; 20]);
    process.taken_at = Some("2026-11-21 03:00:00".into());
    let stop = snapshot.stop.as_mut().unwrap();
    stop.sender = Some(Sender { pid: 1, uid: 0 });
    stop.messages =
        vec![Message { text: "free(): invalid pointer".into(), kind: MessageKind::Heap, source: Source::offset(9) }];
    let fault = stop.fault.as_mut().unwrap();
    fault.operand.as_mut().unwrap().index = Some(("rcx", 2, 8));
    fault.permissions = Some(Permissions { read: true, ..Permissions::default() });
    fault.file = Some("/srv/ledger/data".into());
    (fault.misaligned, fault.divisor, fault.below_stack_pointer) = (Some(16), Some(0), Some(-8));
    fault.stack_state = Some(AddressState::Present);
    fault.value_facts =
        vec![Evidenced { kind: "poison", text: "0x5a5a… is a poison pattern".to_owned(), source: Source::offset(2) }];
    stop.original = Some(Box::new(Stop { original: None, ..stop.clone() }));
    let module = &mut snapshot.modules[0];
    module.symbols.reason = Some("line tables only".to_owned());
    module.symbols.fetched = vec![
        Fetched {
            what: "debug file".to_owned(),
            outcome: "fetched",
            server: Some("https://debuginfod.example.com".to_owned()),
            bytes: Some(4_170_288),
            milliseconds: 1340,
            why: None,
        },
        Fetched {
            what: "common debug file".to_owned(),
            outcome: "not-found",
            server: None,
            bytes: None,
            milliseconds: 12,
            why: Some("none of 2 servers has it".to_owned()),
        },
    ];
    module.identity = Some(Identity {
        soname: Some("libledger.so".to_owned()),
        needed: vec!["libc.so.6".to_owned()],
        interpreter: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
        runpaths: vec!["$ORIGIN".to_owned()],
    });
    let state = snapshot.intern_state(State { text: "futex wait".into(), activity: Activity::Lock });
    let creator =
        snapshot.add_frame(native("start", location("pool.c", 3, Some("spawn();")), 0x5555_5555_5300, Trust::Cfi));
    snapshot.labels = vec![vec![("queue".into(), "refunds".into())]];
    for frame in &mut snapshot.frames {
        frame.variables.push(variable(
            VariableKind::Local,
            "pair",
            "struct pair",
            Value::Struct { variant: None, fields: vec![Field { name: Some("a".into()), value: Value::Int(1) }] },
        ));
        frame.variables.push(variable(VariableKind::Argument, "gone", "int", Value::Absent(Absence::NotLiveHere)));
    }
    for stack in &mut snapshot.stacks {
        stack.gap = Some(Gap { after: 1, omitted: 24_690, period: Some(1) });
        stack.end = StackEnd::Broken("no call frame information".to_owned());
    }
    let thread = &mut snapshot.threads[0];
    (thread.state, thread.created_by, thread.labels, thread.waited_s) = (state, creator, LabelsId::new(0), 60);
    thread.flags = ThreadFlags::LOCKED | ThreadFlags::LEAKED | ThreadFlags::DAEMON;
    let lock = || Lock { id: 0x40, name: Some("ledger_lock".into()) };
    let detail = thread.detail_mut();
    let mut registers = Registers::new(Arch::X86_64);
    registers.set(0, u64::MAX);
    (detail.os_id, detail.registers, detail.thread_pointer) = (Some(7), Some(registers), Some(0x7000));
    (detail.cpu, detail.elapsed) = (Some(Duration::from_millis(1500)), Some(Duration::from_secs(90)));
    (detail.priority, detail.syscall) = (Some(5), Some(202));
    detail.holds = vec![lock()];
    detail.waits_on = Some(Wait {
        kind: WaitKind::Lock,
        lock: Some(lock()),
        owner: Some(ThreadId(2)),
        limited: false,
        source: Source::line(4),
    });
    (detail.created_in, detail.carries) = (Some(ThreadId(1)), Some(ThreadId(9)));
    let group = &mut sample.groups.groups[0];
    group.threads = (0..9).collect();
    (group.state, group.created_by, group.title) = (state, creator, Some("futex wait".to_owned()));
    group.stack = StackId::new(0);
    group.waited = Some(WaitSpread { min_s: 1, median_s: 2, max_s: 3, known: 4 });
    let waits = |id| DeadlockThread {
        id: ThreadId(id),
        name: Some("ledger".into()),
        at: Some(place()),
        holds: vec![lock()],
        waits_for: lock(),
        kind: WaitKind::Lock,
    };
    sample.verdict.deadlocks = vec![Deadlock { threads: vec![waits(1), waits(2)] }];
    sample.verdict.suitability.take_instead =
        vec![Command { what: "a core".to_owned(), command: "gcore 1".to_owned(), cost: "pause: 1 s".to_owned() }];
    sample.verdict.evidence = vec![Evidence::new("SIGSEGV, raised by the processor", Source::offset(0x60c))];
    sample.verdict.claim = Some(Claim {
        complaint: Complaint::OutOfMemory,
        standing: Standing::Contradicted,
        confidence: Confidence::High,
        why: "the dump shows a crash in native code, not memory running out".to_owned(),
        take: sample.verdict.suitability.take_instead.clone(),
    });
    let origin = sample.verdict.origin.as_mut().unwrap();
    (origin.birth.frame, origin.birth.svma) = (Some(1), Some(Svma(0x1136)));
    for place in origin.gate.iter_mut().chain(&mut origin.handed_through).chain(&mut origin.alternatives) {
        place.location = Some(location("refund.c", 17, Some("apply_refund(acct, 250);")));
    }
    for step in &mut origin.trail {
        step.place.location = Some(location("refund.c", 17, Some("apply_refund(acct, 250);")));
    }
    sample
}
