//! Every way in which a server can answer, or not: what the client makes of it, what it keeps, and how often it asks.

#[path = "outcomes/lab.rs"]
mod lab;
#[path = "outcomes/odd_servers.rs"]
mod odd_servers;
#[path = "../../../tests/support/symbol_server.rs"]
mod symbol_server;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use lab::{Lab, SILENCE, elf, failure, id, one, path};
use necropsy_debuginfod::{Client, Failure, Miss, Origin, Settings, Stop, Use, What};
use symbol_server::{Play, SymbolServer};

#[test]
fn a_file_is_fetched_once_and_then_comes_from_the_cache() {
    let lab = Lab::new();
    let body = elf(&id(1));
    let server = one(Play::Serve(body.clone()));
    let client = lab.client(&[server.url("")]);
    assert_eq!(client.cached(&id(1), &What::DebugInfo), None);
    let found = client.fetch(&id(1), &What::DebugInfo).unwrap();
    assert_eq!(found.origin, Origin::Server(server.url("")));
    assert_eq!(found.path, lab.shared().join(id(1).to_string()).join("debuginfo"));
    assert_eq!((found.bytes, fs::read(&found.path).unwrap()), (body.len() as u64, body));
    let written = fs::metadata(&found.path).unwrap().modified().unwrap();
    assert_eq!(written, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777), "as the server says");
    assert_eq!(client.fetch(&id(1), &What::DebugInfo).unwrap().origin, Origin::Cache);
    let another = lab.client(&[]);
    assert!(another.cached(&id(1), &What::DebugInfo).is_some(), "another run finds it");
    assert_eq!(server.connections(), 1);
    let agent = &server.asked()[0].headers["user-agent"];
    assert!(agent.starts_with("necropsy/"), "{agent}");
}

#[test]
fn a_body_in_chunks() {
    let lab = Lab::new();
    let server = one(Play::Chunked(elf(&id(1))));
    assert_eq!(lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo).unwrap().bytes, elf(&id(1)).len() as u64);
}

#[test]
fn what_no_server_has_is_noted_and_not_asked_again_soon() {
    let lab = Lab::new();
    let servers = [one(Play::Status(404)), one(Play::Status(404))];
    let urls = servers.each_ref().map(|server| server.url(""));
    let client = lab.client(&urls);
    for _ in 0..2 {
        assert_eq!(client.fetch(&id(1), &What::DebugInfo), Err(Miss::NotFound { servers: 2 }));
    }
    assert_eq!(lab.files(), [(lab.shared().join(id(1).to_string()).join("debuginfo"), 0)]);
    let outcome = lab.client(&urls).fetch(&id(1), &What::DebugInfo);
    assert!(matches!(outcome, Err(Miss::NegativeEntry { .. })), "{outcome:?}");
    assert_eq!(servers.each_ref().map(SymbolServer::connections), [1, 1]);
    let again = Client::new(Settings { refresh: true, ..lab.settings(&urls) });
    assert_eq!(again.fetch(&id(1), &What::DebugInfo), Err(Miss::NotFound { servers: 2 }));
    assert_eq!(servers.each_ref().map(|server| server.asked().len()), [2, 2]);
}

#[test]
fn a_gateway_that_fails_is_no_answer_and_leaves_no_note() {
    let lab = Lab::new();
    let server = SymbolServer::start([], Play::Status(502));
    let client = lab.client(&[server.url("")]);
    for number in 1..=3 {
        assert_eq!(failure(client.fetch(&id(number), &What::DebugInfo)), Failure::Status(502));
    }
    assert_eq!(failure(client.fetch(&id(4), &What::DebugInfo)), Failure::LeftAlone, "three in a row are enough");
    assert_eq!(server.asked().len(), 3);
    assert_eq!(lab.files(), []);
}

#[test]
fn a_note_needs_the_word_of_every_server() {
    let lab = Lab::new();
    let (has_not, fails) = (one(Play::Status(404)), one(Play::Status(502)));
    let outcome = lab.client(&[has_not.url(""), fails.url("")]).fetch(&id(1), &What::DebugInfo);
    assert_eq!(outcome, Err(Miss::Failed(vec![(fails.url(""), Failure::Status(502))])));
    assert_eq!(lab.files(), []);
}

#[test]
fn a_file_that_is_too_large_stays_where_it_is() {
    let lab = Lab::new();
    let server = one(Play::Status(406));
    let client = Client::new(Settings { max_file: Some(4000), ..lab.settings(&[server.url("")]) });
    assert_eq!(client.fetch(&id(1), &What::DebugInfo), Err(Miss::TooLarge { bytes: None }));
    assert_eq!(server.asked()[0].headers["x-debuginfod-maxsize"], "4000");
    let deaf = one(Play::Serve(elf(&id(1))));
    let client = Client::new(Settings { max_file: Some(4000), ..lab.settings(&[deaf.url("")]) });
    let size = elf(&id(1)).len() as u64;
    assert_eq!(client.fetch(&id(1), &What::DebugInfo), Err(Miss::TooLarge { bytes: Some(size) }), "by its length");
    let chunked = one(Play::Then(Box::new(Play::Chunked(elf(&id(1)))), Box::new(Play::Status(404))));
    let client = Client::new(Settings { max_file: Some(4000), ..lab.settings(&[chunked.url("")]) });
    assert!(matches!(client.fetch(&id(1), &What::DebugInfo), Err(Miss::TooLarge { .. })), "by what arrives");
    assert_eq!(lab.files(), []);
}

#[test]
fn what_was_too_large_for_a_first_look_may_be_asked_for_again() {
    let lab = Lab::new();
    let server = one(Play::Serve(elf(&id(1))));
    let client = lab.client(&[server.url("")]);
    let outcome = client.fetch_up_to(&id(1), &What::DebugInfo, Some(100));
    assert_eq!(outcome, Err(Miss::TooLarge { bytes: Some(elf(&id(1)).len() as u64) }));
    assert!(client.records().is_empty(), "a look is no request");
    assert!(client.fetch(&id(1), &What::DebugInfo).is_ok());
}

#[test]
fn a_server_that_never_answers_costs_one_wait_in_a_run() {
    let lab = Lab::new();
    let server = SymbolServer::start([], Play::Silence);
    let client = Arc::new(lab.client(&[server.url("")]));
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let client = Arc::clone(&client);
            scope.spawn(move || failure(client.fetch(&id(number), &What::DebugInfo)));
        }
    });
    assert_eq!(server.connections(), 1, "the others waited for the first, and then left it alone");
    let silent = client.records().into_iter().filter(
        |record| matches!(&record.outcome, Err(Miss::Failed(failures)) if failures[0].1 == Failure::Silent(SILENCE)),
    );
    assert_eq!(silent.count(), 1);
    assert_eq!(failure(client.fetch(&id(9), &What::DebugInfo)), Failure::LeftAlone);
    assert_eq!(lab.files(), []);
}

#[test]
fn a_silent_server_does_not_hold_up_one_that_answers() {
    let lab = Lab::new();
    let (silent, good) = (SymbolServer::start([], Play::Silence), one(Play::Serve(elf(&id(1)))));
    // The silence is longer than the budget: only an answer of the other server ends this in time.
    let settings = Settings { silence: Duration::from_hours(1), ..lab.settings(&[silent.url(""), good.url("")]) };
    let found = Client::new(settings).fetch(&id(1), &What::DebugInfo).unwrap();
    assert_eq!(found.origin, Origin::Server(good.url("")));
}

#[test]
fn a_server_that_stalls_is_dead_and_the_next_one_is_asked() {
    let lab = Lab::new();
    let stalls = one(Play::Stall(elf(&id(1)), 1000));
    let client = lab.client(&[stalls.url("")]);
    assert_eq!(failure(client.fetch(&id(1), &What::DebugInfo)), Failure::Stalled(1000));
    assert_eq!(failure(client.fetch(&id(2), &What::DebugInfo)), Failure::LeftAlone);
    assert_eq!((stalls.asked().len(), lab.files()), (1, vec![]));
    let good = one(Play::Serve(elf(&id(1))));
    let client = lab.client(&[stalls.url(""), good.url("")]);
    assert_eq!(client.fetch(&id(1), &What::DebugInfo).unwrap().origin, Origin::Server(good.url("")));
}

#[test]
fn a_body_that_breaks_off_is_tried_again_once() {
    let lab = Lab::new();
    let server = one(Play::BreakOff(elf(&id(1)), 1000));
    assert_eq!(failure(lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo)), Failure::BrokeOff(1000));
    assert_eq!((server.asked().len(), lab.files()), (2, vec![]));
    let broken_once = Play::Then(Box::new(Play::BreakOff(elf(&id(1)), 1000)), Box::new(Play::Serve(elf(&id(1)))));
    let server = one(broken_once);
    assert!(lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo).is_ok());
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn the_file_of_another_build_is_discarded_and_the_next_server_asked() {
    let lab = Lab::new();
    let wrong = one(Play::Serve(elf(&id(2))));
    let outcome = lab.client(&[wrong.url("")]).fetch(&id(1), &What::DebugInfo);
    assert_eq!(failure(outcome.clone()), Failure::WrongBuild(Some(id(2))));
    assert!(outcome.unwrap_err().to_string().contains("another build"));
    assert_eq!(lab.files(), []);
    let right = one(Play::Serve(elf(&id(1))));
    let client = lab.client(&[wrong.url(""), right.url("")]);
    assert_eq!(client.fetch(&id(1), &What::DebugInfo).unwrap().origin, Origin::Server(right.url("")));
}

#[test]
fn what_is_no_file_of_the_kind_is_discarded() {
    let lab = Lab::new();
    let page = b"<!DOCTYPE html><title>Log in to the guest network</title>".to_vec();
    let server = SymbolServer::start([], Play::Serve(page));
    let client = lab.client(&[server.url("")]);
    let kinds =
        [What::DebugInfo, What::Executable, What::Section(".symtab".to_owned()), What::Source("/a.c".to_owned())];
    for what in kinds {
        assert!(matches!(failure(client.fetch(&id(1), &what)), Failure::Malformed(_)), "{what:?}");
    }
    let empty = one(Play::Serve(Vec::new()));
    let client = lab.client(&[empty.url("")]);
    assert!(matches!(failure(client.fetch(&id(1), &What::DebugInfo)), Failure::Malformed("an empty file")));
    assert_eq!(lab.files(), []);
}

#[test]
fn a_poisoned_cache_is_mended() {
    let lab = Lab::new();
    let file = lab.shared().join(id(1).to_string()).join("debuginfo");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, elf(&id(2))).unwrap();
    let server = one(Play::Serve(elf(&id(1))));
    let client = lab.client(&[server.url("")]);
    assert_eq!(client.cached(&id(1), &What::DebugInfo), None);
    assert!(client.fetch(&id(1), &What::DebugInfo).is_ok());
    assert_eq!(fs::read(&file).unwrap(), elf(&id(1)));
}

#[test]
fn redirects_are_followed_without_the_token_to_other_hosts() {
    let lab = Lab::new();
    let store = SymbolServer::start([("/store/1".to_owned(), Play::Serve(elf(&id(1))))], Play::Status(404));
    let to_itself = Play::Redirect("/moved/1".to_owned());
    let server = SymbolServer::start(
        [(path(&id(1), "debuginfo"), to_itself), ("/moved/1".to_owned(), Play::Redirect(store.url("/store/1")))],
        Play::Status(404),
    );
    let headers = vec![("X-Token".to_owned(), "secret".to_owned())];
    let client = Client::new(Settings { headers, ..lab.settings(&[server.url("")]) });
    assert!(client.fetch(&id(1), &What::DebugInfo).is_ok());
    let tokens = |server: &SymbolServer| -> Vec<Option<String>> {
        server.asked().iter().map(|asked| asked.headers.get("x-token").cloned()).collect()
    };
    assert_eq!(tokens(&server), [Some("secret".to_owned()), Some("secret".to_owned())]);
    assert_eq!(tokens(&store), [None]);
}

#[test]
fn a_redirect_that_never_ends_does() {
    let lab = Lab::new();
    let server = SymbolServer::start([], Play::Redirect("/again".to_owned()));
    let outcome = lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo);
    assert_eq!(failure(outcome), Failure::Redirect("more than 6 times".to_owned()));
    assert_eq!(server.asked().len(), 7);
}

#[test]
fn a_prefix_with_a_path_is_kept() {
    let lab = Lab::new();
    let below = format!("/team/debuginfod{}", path(&id(1), "executable"));
    let server = SymbolServer::start([(below.clone(), Play::Serve(elf(&id(1))))], Play::Status(404));
    let client = lab.client(&[server.url("/team/debuginfod/")]);
    assert!(client.fetch(&id(1), &What::Executable).is_ok());
    assert_eq!(server.paths(), [below]);
}

#[test]
fn sections_and_sources_have_a_directory_of_their_own() {
    let lab = Lab::new();
    let server = SymbolServer::start(
        [
            (path(&id(1), "section/.symtab"), Play::Serve(vec![7; 48])),
            (path(&id(1), "source/usr/src/c%2B%2B/a.c"), Play::Serve(b"int main;".to_vec())),
        ],
        Play::Status(404),
    );
    let client = lab.client(&[server.url("")]);
    let section = client.fetch(&id(1), &What::Section(".symtab".to_owned())).unwrap();
    let source = client.fetch(&id(1), &What::Source("/usr/src/x/../c++/a.c".to_owned())).unwrap();
    assert_eq!(
        (fs::read(&section.path).unwrap(), fs::read(&source.path).unwrap()),
        (vec![7; 48], b"int main;".to_vec())
    );
    assert_eq!(lab.files(), [], "elfutils would not know the names");
}

#[test]
fn a_server_that_fails_over_one_section_still_has_others() {
    let lab = Lab::new();
    let server = SymbolServer::start([], Play::Status(503));
    let client = lab.client(&[server.url("")]);
    for number in 1..=5 {
        assert_eq!(failure(client.fetch(&id(number), &What::Section(".symtab".to_owned()))), Failure::Status(503));
    }
    assert_eq!(server.asked().len(), 5);
}

#[test]
fn a_tree_of_files_is_a_server_too() {
    let lab = Lab::new();
    let tree = lab.directory.path().join("a tree");
    let folder = tree.join("buildid").join(id(1).to_string());
    fs::create_dir_all(folder.join("source/src")).unwrap();
    fs::write(folder.join("debuginfo"), elf(&id(1))).unwrap();
    fs::write(folder.join("source/src/a.c"), "int main;").unwrap();
    fs::write(tree.join("secret.c"), "no source").unwrap();
    let url = format!("file://{}", tree.display()).replace(' ', "%20");
    let client = lab.client(&[url]);
    assert!(client.fetch(&id(1), &What::DebugInfo).is_ok());
    assert!(client.fetch(&id(1), &What::Source("/src/a.c".to_owned())).is_ok());
    assert_eq!(client.fetch(&id(1), &What::Executable), Err(Miss::NotFound { servers: 1 }));
    let outside = What::Source("/../../../secret.c".to_owned());
    assert_eq!(client.fetch(&id(1), &outside), Err(Miss::NotFound { servers: 1 }), "a path does not leave the tree");
    let gone = lab.client(&["file:///no/such/directory".to_owned()]);
    assert!(matches!(failure(gone.fetch(&id(2), &What::DebugInfo)), Failure::Unreachable(_)));
}

#[test]
fn a_closed_port_is_dead_at_once() {
    let lab = Lab::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = lab.client(&[url]);
    assert!(matches!(failure(client.fetch(&id(1), &What::DebugInfo)), Failure::Unreachable(_)));
    assert_eq!(failure(client.fetch(&id(2), &What::DebugInfo)), Failure::LeftAlone);
}

#[test]
fn a_server_that_wants_a_token_is_asked_once() {
    let lab = Lab::new();
    let server = SymbolServer::start([], Play::Status(401));
    let client = lab.client(&[server.url("")]);
    let told = failure(client.fetch(&id(1), &What::DebugInfo)).to_string();
    assert!(told.contains("DEBUGINFOD_HEADERS_FILE"), "{told}");
    assert_eq!(failure(client.fetch(&id(2), &What::DebugInfo)), Failure::LeftAlone);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn the_time_of_a_run_ends_all_waiting() {
    let lab = Lab::new();
    let server = SymbolServer::start([], Play::Silence);
    let budget = Duration::from_millis(200);
    let settings = Settings { budget, silence: Duration::from_hours(1), ..lab.settings(&[server.url("")]) };
    let client = Client::new(settings);
    let stopped = Err(Miss::Stopped(Stop::Time(budget)));
    assert_eq!(client.fetch(&id(1), &What::DebugInfo), stopped);
    assert_eq!(client.fetch(&id(2), &What::DebugInfo), stopped);
    assert_eq!(server.connections(), 1, "the second was not even asked for");
}

#[test]
fn the_bytes_of_a_run_are_counted_over_all_files() {
    let lab = Lab::new();
    let size = elf(&id(1)).len() as u64;
    let plays = (1..=3).map(|number| (path(&id(number), "debuginfo"), Play::Serve(elf(&id(number)))));
    let server = SymbolServer::start(plays, Play::Status(404));
    let client = Client::new(Settings { max_bytes: 2 * size, ..lab.settings(&[server.url("")]) });
    assert!(client.fetch(&id(1), &What::DebugInfo).is_ok());
    assert!(client.fetch(&id(2), &What::DebugInfo).is_ok());
    assert_eq!(client.fetch(&id(3), &What::DebugInfo), Err(Miss::Stopped(Stop::Bytes(2 * size))));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn an_interrupt_ends_the_waiting_and_everything_after_it() {
    let lab = Lab::new();
    let server = SymbolServer::start([], Play::Silence);
    let client = Client::new(Settings { silence: Duration::from_hours(1), ..lab.settings(&[server.url("")]) });
    let (interrupted, idle) = (client.interrupted(), client.idle());
    let user = std::thread::spawn(move || {
        while idle.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        interrupted.store(true, Ordering::SeqCst);
    });
    let stopped = Err(Miss::Stopped(Stop::Interrupted));
    assert_eq!(client.fetch(&id(1), &What::DebugInfo), stopped);
    user.join().unwrap();
    assert_eq!(client.fetch(&id(2), &What::DebugInfo), stopped);
    assert!(client.idle().load(Ordering::SeqCst));
    drop(client);
    assert_eq!(lab.files(), [], "nothing half written stays behind");
}

#[test]
fn modes_say_what_may_be_used() {
    let lab = Lab::new();
    let server = one(Play::Serve(elf(&id(1))));
    let of = |mode| Client::new(Settings { mode, ..lab.settings(&[server.url("")]) });
    assert_eq!(of(Use::Cache).fetch(&id(1), &What::DebugInfo), Err(Miss::NotCached));
    assert_eq!(server.connections(), 0, "nobody was asked");
    assert!(of(Use::Full).fetch(&id(1), &What::DebugInfo).is_ok());
    assert!(of(Use::Cache).fetch(&id(1), &What::DebugInfo).is_ok());
    assert_eq!(of(Use::Off).fetch(&id(1), &What::DebugInfo), Err(Miss::Off));
    assert_eq!(of(Use::Off).cached(&id(1), &What::DebugInfo), None);
}

#[test]
fn several_runs_at_once_share_one_directory() {
    let lab = Lab::new();
    let plays = (1..=6).map(|number| (path(&id(number), "debuginfo"), Play::Serve(elf(&id(number)))));
    let server = SymbolServer::start(plays, Play::Status(404));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let client = lab.client(&[server.url("")]);
            scope.spawn(move || (1..=7).for_each(|number| drop(client.fetch(&id(number), &What::DebugInfo))));
        }
    });
    let mut files = lab.files();
    files.sort();
    let sizes: Vec<_> = files.iter().map(|(_, size)| *size).collect();
    assert_eq!(sizes, [vec![elf(&id(1)).len() as u64; 6], vec![0]].concat(), "whole files, and one note");
}
