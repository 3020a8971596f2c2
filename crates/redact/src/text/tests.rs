use super::*;

#[test]
fn what_free_text_quotes_goes() {
    let mut redactor = Redactor::new();
    for (text, want) in [
        ("can not open /home/alice/key.pem: denied", "can not open <path-1>: denied"),
        ("mail alice@corp.example now", "mail <email-1> now"),
        ("to 10.1.2.3:8080 and 10.1.2.3:8080", "to <host-1> and <host-1>"),
        ("fe80::1 and std::vector and ab::cd", "<host-2> and std::vector and ab::cd"),
        ("GET https://u:p@corp.example/x?y=z failed", "GET <url-1> failed"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id <id-1>"),
        ("card 4111111111111111", "card <number-1>"),
        ("password=hunter2 user", "password=<token-1> user"),
        ("key eyJhbGciOiJIUzI1NiJ9abc", "key <token-2>"),
        ("it holds \"Alice Smith\" and 'Bob'", "it holds \"<string-1>\" and '<string-2>'"),
        ("can't open, don't ask", "can't open, don't ask"),
        ("read/write and/or", "read/write and/or"),
        (
            "0x7fff12345678 at offset 0x60c000, libc.so.6+0x21d0a, 0x8",
            "<addr-1> at offset 0x60c000, libc.so.6+0x21d0a, 0x8",
        ),
        ("the note was skipped", "the note was skipped"),
    ] {
        assert_eq!(redactor.free(text), want);
    }
}

#[test]
fn the_words_of_a_runtime_stay_and_those_of_the_program_go() {
    let mut redactor = Redactor::new();
    for (text, want) in [
        ("runtime error: index out of range [7] with length 3", "runtime error: index out of range [7] with length 3"),
        ("panic: order 17 of Alice is bad", "panic: <message-1>"),
        ("order 17 of Alice is bad", "<message-1>"),
        ("Alice: runtime error: integer divide by zero", "<message-2> runtime error: integer divide by zero"),
        (
            "called `Result::unwrap()` on an `Err` value: Alice",
            "called `Result::unwrap()` on an `Err` value: <message-3>",
        ),
        ("double free or corruption (out)", "double free or corruption (out)"),
        (
            "terminate called after throwing an instance of 'std::runtime_error'\n  what():  Alice",
            "terminate called after throwing an instance of 'std::runtime_error'\n  what():  <message-3>",
        ),
    ] {
        assert_eq!(redactor.message(text), want);
    }
}

#[test]
fn threads_of_a_pool_stay_a_pool() {
    let mut redactor = Redactor::new();
    for (name, want) in [
        ("alice-1", "<thread-1>-1"),
        ("alice-2", "<thread-1>-2"),
        ("card 4111111111111111", "<thread-2>"),
        ("pool-1-thread-3", "pool-1-thread-3"),
        ("GC Thread#0", "GC Thread#0"),
        ("main", "main"),
        ("http-alice-7", "http-<thread-1>-7"),
        ("http-alice-8", "http-<thread-1>-8"),
    ] {
        assert_eq!(redactor.thread_name(name), want);
    }
}

#[test]
fn arguments_go_and_limits_stay() {
    let mut redactor = Redactor::new();
    let line = "/srv/app/java -Xmx4g -Ddb.password=hunter2 -XX:OnError=mail -agentpath:/opt/x/libagent.so=key -jar app.jar a b a";
    let want = "<path-1>/java -Xmx4g -Ddb.password=<arg-1> -XX:OnError=<arg-2> -agentpath:<path-2>/libagent.so=<arg-3> \
                -jar <arg-4> <arg-5> <arg-6> <arg-5>";
    assert_eq!(redactor.command_line(line), want);
    assert_eq!(redactor.environment("HOME", "/home/alice"), "<path-3>");
    assert_eq!(redactor.environment("DB", "hunter2"), "<env-1>");
    assert_eq!(redactor.environment("LANG", "C.UTF-8"), "C.UTF-8");
}

#[test]
fn an_escape_in_json_is_no_address() {
    let mut redactor = Redactor::new();
    let mut filtered = |text: &str| addresses(&mut redactor, text, 0);
    assert_eq!(filtered(r#"{"at":"0x7f0012345678"}"#), r#"{"at":"<addr-1>"}"#);
    // A NUL, then letters; found by the fuzz target `redact`.
    assert_eq!(filtered(r#"{"at":"a\u0000x7f0012345678"}"#), r#"{"at":"a\u0000x7f0012345678"}"#);
    // Two backslashes are one that the program wrote.
    assert_eq!(filtered(r#"{"at":"a\\u0000x7f0012345678"}"#), r#"{"at":"a\\u000<addr-1>"}"#);
    assert_eq!(filtered("u0000x7f0012345678"), "u000<addr-1>");
}

#[test]
fn what_stands_first_is_a_program_only_where_it_looks_like_one() {
    let mut redactor = Redactor::new();
    let mut said = |line: &str| redactor.command_line(line);
    // A fatal error log begins with the options of the virtual machine.
    assert_eq!(said("-Ddb.password=hunter1 shop.Main"), "-Ddb.password=<arg-1> <arg-2>");
    assert_eq!(said("DB_PASSWORD=hunter2 ./pay"), "<arg-3> <arg-4>");
    assert_eq!(said("svc:hunter3@db.internal"), "<arg-5>");
    assert_eq!(said("postgres: alice shop 10.1.2.3(5432) SELECT"), "postgres: <arg-6> <arg-7> <arg-8> <arg-9>");
    assert_eq!(said("/usr/bin/python3.11 app.py"), "/usr/bin/python3.11 <arg-10>");
}
