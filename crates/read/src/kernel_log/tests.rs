use necropsy_model::{Access, AddressState, Arch, Arena, Avma, Signal};

use super::*;

const LOG: &str = "\
[40190.1] usb 1-1: new device
[40196.026839] show_signal_msg: 8 callbacks suppressed
[40196.026845] rate_map[11406]: segfault at 8 ip 000055a0e1002230 sp 00007ffc0e258fd8 error 4 in rate_map[1230,55a0e1002000+1000] likely on CPU 0 (core 0, socket 0)
[40196.026858] Code: 1f 80 00 00 00 00 <8b> 47 08 c3
[40197.5] rate_map[11407]: segfault at 8 ip 000055bbbb002230 sp 00007ffc0e258fd8 error 4 in rate_map[1230,55bbbb002000+1000]
[40198.5] traps: plain[7] general protection fault ip:555f17bb232f sp:7ffeb1454a78 error:0 in libx.so.1[132f,555f17bb2000+1000]
[40199.5] jump[8]: segfault at 41414141 ip 0000000041414141 sp 00007fff00000000 error 14
";

fn read(text: &'static str, arena: &'static Arena) -> Vec<Snapshot<'static>> {
    KernelLog.read(text.as_bytes(), arena).unwrap()
}

fn arena() -> &'static Arena {
    Box::leak(Box::default())
}

#[test]
fn each_end_is_a_report_and_the_same_one_is_counted() {
    let all = read(LOG, arena());
    assert_eq!(all.len(), 3);
    let stop = all[0].stop.as_ref().unwrap();
    let fault = stop.fault.as_ref().unwrap();
    assert_eq!((stop.signal, stop.address), (Some(Signal { number: 11, code: Some(1) }), Some(Avma(8))));
    assert_eq!((fault.access, fault.state), (Some(Access::Read), Some(AddressState::NotMapped)));
    assert_eq!(fault.value_facts[0].text, "error 4: the program read from where no page is");
    assert_eq!(stop.messages[1].text, "again at 40197.5");
    assert_eq!(all[0].process.taken_at.as_deref(), Some("40196.026845 s after the machine started"));
    assert_eq!((all[0].threads[0].id.0, all[0].threads[0].name()), (11406, Some("rate_map")));
    assert_eq!(all[0].memory.read(Avma(0x55a0_e100_2230), 3), Ok(&[0x8b, 0x47, 8][..]));
    assert_eq!(all[0].memory.read(Avma(0x55a0_e100_2234), 1), Err(AddressState::NotDumped));
    assert!(all[0].modules[0].is_executable && !all[1].modules[0].is_executable);
    assert!(all[1].process.exe.is_none() && all[1].stop.as_ref().unwrap().address.is_none());
}

#[test]
fn a_jump_to_nowhere_has_a_frame_and_no_module() {
    let all = read(LOG, arena());
    let fault = all[2].stop.as_ref().unwrap().fault.as_ref().unwrap();
    assert_eq!((fault.access, fault.state), (Some(Access::Execute), Some(AddressState::NotMapped)));
    assert_eq!((all[2].modules.len(), all[2].frames_of(&all[2].threads[0]).count()), (0, 1));
}

#[test]
fn aarch64_has_all_registers() {
    let all = read(
        "app[9]: unhandled exception: DABT (lower EL), ESR 0x0000000092000046, level 2 translation fault in app[aaaac7a10000+1000]\n\
         CPU: 0 PID: 9 Comm: app Not tainted 6.8.0 #1\n\
         pstate: 60001000 (nZCv daif -PAN -UAO -TCO -DIT +SSBS BTYPE=--)\n\
         pc : 0000aaaac7a10754\nlr : 0000aaaac7a10774\nsp : 0000ffffe0a0b0c0\n\
         x29: 0000ffffe0a0b0c0 x28: 0000000000000000 x27: 0000000000000007\n",
        arena(),
    );
    let snapshot = &all[0];
    let registers = snapshot.threads[0].registers().unwrap();
    assert_eq!((registers.pc(), registers.by_name("x27")), (Some(0xaaaa_c7a1_0754), Some(7)));
    assert_eq!(snapshot.process.arch, Some(Arch::Aarch64));
    assert_eq!(snapshot.modules[0].base, Avma(0xaaaa_c7a1_0000));
    assert_eq!(snapshot.stop.as_ref().unwrap().fault.as_ref().unwrap().access, Some(Access::Write));
}

#[test]
fn a_kill_names_the_process() {
    let text = "Nov 21 10:00:00 web kernel: Memory cgroup out of memory: Killed process 9 (java) total-vm:71048kB, anon-rss:61184kB, file-rss:256kB, shmem-rss:0kB, UID:0 pgtables:184kB oom_score_adj:0\n";
    let all = read(text, arena());
    assert_eq!((all[0].process.pid, all[0].process.exe.as_deref()), (Some(9), Some("java")));
    assert_eq!(all[0].process.taken_at.as_deref(), Some("Nov 21 10:00:00"));
    assert!(all[0].oom.as_ref().unwrap().cut);
}

#[test]
fn recognised_by_its_lines_and_by_nothing_less() {
    assert_eq!(KernelLog.probe(LOG.as_bytes()), Probe::Maybe);
    assert_eq!(KernelLog.find(LOG.as_bytes()), LOG.find("[40196.026845]"));
    for text in ["a trap ", "x]: segfault at y", "he Killed process 4 (a)", "[   1.0] Linux version 6.1"] {
        assert_eq!(KernelLog.probe(text.as_bytes()), Probe::No, "{text}");
    }
    assert!(KernelLog.read(b"[   1.0] Linux version 6.1", arena()).is_err());
}

#[test]
fn numbers_of_any_size_do_no_harm() {
    for text in [
        "a[1]: segfault at ffffffffffffffff ip ffffffffffffffff sp ffffffffffffffff error ffffffff in a[ffffffffffffffff,fffffffffffff000+fff]\nCode: <ff>",
        "a[1]: segfault at ffffffffffffffff ip ffffffffffffffff sp 0 error 0 in a[0,fffffffffffff000+ffffffffffffffff]\nCode: 00 <ff> 00",
        "a[18446744073709551615]: segfault at 0 ip 0 sp 0 error 14 in a[0+ffffffffffffffff]\nCode: 00 00 <ff> 00",
        "a[1]: segfault at 99999999999999999999 ip 1 sp 2 error 4",
    ] {
        let _ = KernelLog.read(text.as_bytes(), arena());
    }
}
