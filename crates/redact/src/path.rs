//! Paths: a directory tells who and where; the name of a module or of a source file is part of the structure.

use crate::Redactor;
use crate::placeholder::Kind;
use crate::words::base;

/// Directories that are the same on every machine.
const SYSTEM: [&str; 16] = [
    "/usr/",
    "/lib/",
    "/lib64/",
    "/lib32/",
    "/libx32/",
    "/bin/",
    "/sbin/",
    "/sys/",
    "/dev/",
    "/proc/",
    "/rustc/",
    "/nix/store/",
    "/System/Library/",
    "C:\\Windows\\",
    "C:\\WINDOWS\\",
    "./nptl/",
];

/// Directories that many packages share below one that somebody chose: from here on a path is public again.
const SHARED: [&str; 4] = ["/pkg/mod/", "/registry/src/", "/site-packages/", "/dist-packages/"];

impl Redactor {
    /// A path of a module or source file: the directory goes unless it is the same everywhere, the last name stays.
    pub(crate) fn file_path(&mut self, path: &str) -> String {
        let name = base(path);
        let directory = path.get(..path.len() - name.len()).unwrap_or_default();
        format!("{}{name}", self.directory(directory))
    }

    /// A path in free text: the last name stays only where it is known to be that of a module or source file.
    pub(crate) fn free_path(&mut self, path: &str) -> String {
        let name = base(path);
        let library = [".so", ".jar", ".dll", ".dylib"].iter().any(|end| name.ends_with(end)) || name.contains(".so.");
        if SYSTEM.iter().any(|system| path.starts_with(system)) || library || self.is_kept(name) {
            return self.file_path(path);
        }
        // `/tmp/hsperfdata_USER/PID`: that it is this file decides a verdict.
        if path.contains("/hsperfdata_") {
            return self.file_path(path);
        }
        self.remembered(Kind::Path, path)
    }

    /// A directory with the separator at its end.
    fn directory(&mut self, directory: &str) -> String {
        let system = SYSTEM.iter().any(|system| directory.starts_with(system));
        let pseudo = !directory.starts_with(['/', '\\']) && directory.starts_with(['[', '<']);
        if directory.len() <= 1 || system || pseudo {
            return directory.to_owned();
        }
        if let Some((at, shared)) = SHARED.iter().find_map(|shared| Some((directory.find(shared)?, shared))) {
            let (own, public) = directory.split_at(at + shared.len());
            return format!("{}{public}", self.named(own));
        }
        if let Some(rest) = directory.strip_prefix("/tmp/") {
            return format!("/tmp/{}", self.below_tmp(rest));
        }
        self.named(directory)
    }

    /// What follows `/tmp/`.
    fn below_tmp(&mut self, rest: &str) -> String {
        match rest.strip_prefix("hsperfdata_") {
            _ if rest.is_empty() => String::new(),
            Some(user) => {
                let user = self.remembered(Kind::User, user.trim_end_matches('/'));
                format!("hsperfdata_{user}/")
            }
            None => self.named(rest),
        }
    }

    /// The placeholder of a directory, with the separator that it had.
    fn named(&mut self, directory: &str) -> String {
        let trimmed = directory.trim_end_matches(['/', '\\']);
        let separator = directory.get(trimmed.len()..).unwrap_or_default();
        format!("{}{separator}", self.remembered(Kind::Path, trimmed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_goes_and_the_name_stays() {
        let mut redactor = Redactor::new();
        for (path, want) in [
            ("/srv/alice/ledger/refund.c", "<path-1>/refund.c"),
            ("/srv/alice/ledger/main.c", "<path-1>/main.c"),
            ("/srv/bob/main.c", "<path-2>/main.c"),
            ("src/main.c", "<path-3>/main.c"),
            ("main.c", "main.c"),
            ("/init", "/init"),
            ("/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
            ("[vdso]", "[vdso]"),
            ("/home/alice/go/pkg/mod/example.com/x@v1.2.3/x.go", "<path-4>/example.com/x@v1.2.3/x.go"),
            ("/tmp/libffi.so", "/tmp/libffi.so"),
            ("/tmp/hsperfdata_alice/77", "/tmp/hsperfdata_<user-1>/77"),
            (r"C:\Users\alice\app.dll", r"<path-5>\app.dll"),
            ("", ""),
        ] {
            assert_eq!(redactor.file_path(path), want);
        }
        assert_eq!(redactor.free_path("/home/alice"), "<path-6>");
        assert_eq!(redactor.free_path("/srv/bob/libx.so.3"), "<path-2>/libx.so.3");
    }
}
