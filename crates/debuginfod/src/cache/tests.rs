use super::*;

fn id() -> BuildId {
    BuildId::new(&[0xab; 20]).expect("twenty bytes")
}

fn cache(directory: &Path) -> Cache {
    Cache::new(Some(directory.join("shared")), Some(directory.join("own")))
}

fn put(cache: &Cache, what: &What, bytes: &[u8]) -> PathBuf {
    use std::io::Write;
    let mut writing = cache.create(&id(), what).expect("a file");
    writing.file.write_all(bytes).expect("a file");
    cache.publish(writing, None).expect("a place")
}

fn source() -> What {
    What::Source("/usr/src/a.c".to_owned())
}

#[test]
fn names_are_those_of_elfutils_where_it_has_stable_ones() {
    let directory = Path::new("/c");
    let text = "ab".repeat(20);
    assert_eq!(place(directory, &id(), &What::DebugInfo), Path::new("/c").join(&text).join("debuginfo"));
    assert_eq!(place(directory, &id(), &What::Executable), Path::new("/c").join(&text).join("executable"));
}

#[test]
fn names_of_the_others_are_short_and_do_not_leave_the_directory() {
    for text in ["../../../etc/passwd", "/", "", "\0", &"x/".repeat(5000)] {
        let name = file_name(text);
        assert!(name.len() <= 17 + LONGEST && !name.contains('/') && !name.contains('\0') && name != "..", "{name}");
    }
    assert_ne!(file_name("/a#b"), file_name("/a/b"));
}

#[test]
fn a_file_appears_whole_and_for_this_user_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = cache(directory.path());
    assert!(matches!(cache.find(&id(), &source()), Lookup::None));
    let path = put(&cache, &source(), b"int main;");
    assert!(matches!(cache.find(&id(), &source()), Lookup::Hit { bytes: 9, path: found } if found == path));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a parent"))), (0o400, 0o700));
    }
    assert_eq!(fs::read_dir(path.parent().expect("a parent")).expect("a directory").count(), 1, "nothing else");
    assert!(lock(&cache.writing).is_empty());
}

#[test]
fn a_hit_renews_the_access_time_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = cache(directory.path());
    let path = put(&cache, &source(), b"int main;");
    let old = SystemTime::now() - Duration::from_hours(50);
    let file = File::open(&path).expect("a file");
    file.set_times(FileTimes::new().set_accessed(old).set_modified(old)).expect("times");
    assert!(matches!(cache.find(&id(), &source()), Lookup::Hit { .. }));
    let metadata = fs::metadata(&path).expect("a file");
    assert!(metadata.accessed().expect("a time") > old + Duration::from_hours(49));
    assert_eq!(metadata.modified().expect("a time"), old);
}

#[test]
fn an_empty_file_says_that_nobody_had_it_for_ten_minutes_or_as_long_as_elfutils_was_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = cache(directory.path());
    cache.note_absent(&id(), &What::DebugInfo);
    assert!(matches!(cache.find(&id(), &What::DebugInfo), Lookup::Absent { .. }));
    let path = place(&directory.path().join("shared"), &id(), &What::DebugInfo);
    let set_age = |minutes| {
        let file = OpenOptions::new().write(true).open(&path).expect("a file");
        let then = SystemTime::now() - Duration::from_mins(minutes);
        file.set_times(FileTimes::new().set_modified(then)).expect("times");
    };
    set_age(9);
    assert!(matches!(cache.find(&id(), &What::DebugInfo), Lookup::Absent { age } if age.as_secs() / 60 == 9));
    set_age(11);
    assert!(matches!(cache.find(&id(), &What::DebugInfo), Lookup::None), "too old");
    fs::write(directory.path().join("shared/cache_miss_s"), "7200\n").expect("a file");
    assert!(matches!(cache.find(&id(), &What::DebugInfo), Lookup::Absent { .. }), "two hours");
    set_age(121);
    cache.note_absent(&id(), &What::DebugInfo);
    assert!(matches!(cache.find(&id(), &What::DebugInfo), Lookup::Absent { age } if age.as_secs() < 60), "noted again");
}

#[test]
fn noting_that_nobody_has_it_does_not_destroy_what_another_process_fetched() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = cache(directory.path());
    put(&cache, &source(), b"int main;");
    cache.note_absent(&id(), &source());
    assert!(matches!(cache.find(&id(), &source()), Lookup::Hit { bytes: 9, .. }));
}

#[test]
fn a_file_of_another_build_is_not_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = cache(directory.path());
    put(&cache, &What::DebugInfo, b"not an ELF file");
    assert!(matches!(cache.find(&id(), &What::DebugInfo), Lookup::None));
}

#[test]
fn without_a_directory_that_can_be_written_the_run_has_one_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let blocked = directory.path().join("file");
    fs::write(&blocked, "x").expect("a file");
    let cache = Cache::new(Some(blocked.clone()), Some(blocked));
    let path = put(&cache, &source(), b"int main;");
    assert!(matches!(cache.find(&id(), &source()), Lookup::Hit { .. }));
    drop(cache);
    assert!(!path.exists(), "gone with the run");
}

#[test]
fn what_is_half_written_is_swept_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = cache(directory.path());
    let writing = cache.create(&id(), &What::DebugInfo).expect("a file");
    let path = writing.file.path().to_owned();
    assert!(path.exists());
    cache.sweep();
    assert!(!path.exists() && !path.parent().expect("a parent").exists());
    let writing = cache.create(&id(), &What::DebugInfo).expect("a file");
    cache.discard(writing);
    assert!(!path.parent().expect("a parent").exists());
}

#[test]
fn what_nobody_used_for_a_week_goes_once_a_day() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = cache(directory.path());
    let (used, unused) = (put(&cache, &source(), b"a"), put(&cache, &What::Section(".symtab".to_owned()), b"b"));
    let old = SystemTime::now() - Duration::from_hours(24 * 8);
    File::open(&unused).expect("a file").set_times(FileTimes::new().set_accessed(old)).expect("times");
    cache.sweep();
    assert!(used.exists() && !unused.exists());
    let again = put(&cache, &What::Section(".symtab".to_owned()), b"b");
    File::open(&again).expect("a file").set_times(FileTimes::new().set_accessed(old)).expect("times");
    cache.sweep();
    assert!(again.exists(), "cleaned today already");
}

#[test]
fn processes_that_publish_the_same_file_leave_one_whole_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let bytes = |number: u8| vec![number; 100_000];
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let cache = cache(directory.path());
            scope.spawn(move || (0..20).for_each(|_| drop(put(&cache, &source(), &bytes(number)))));
        }
    });
    let Lookup::Hit { path, .. } = cache(directory.path()).find(&id(), &source()) else { panic!("no file") };
    let found = fs::read(&path).expect("a file");
    assert!((1..=8).any(|number| found == bytes(number)), "one of them, whole");
    assert_eq!(fs::read_dir(path.parent().expect("a parent")).expect("a directory").count(), 1);
}
