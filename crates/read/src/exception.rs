//! The stack trace of a Java exception is no dump, though many take it for one: what it says of itself, and what to take instead.

/// Files that a frame of Java, Kotlin, Scala, Groovy or Clojure names, and words in their place.
const PLACES: [&str; 8] =
    [".java:", ".kt:", ".scala:", ".groovy:", ".clj:", "(Native Method)", "(Unknown Source)", ".java)"];

/// Most characters of a class or a frame that are told.
const LONGEST: usize = 200;

/// One sentence about a text that is the stack trace of an exception, whatever stands before each line; nothing for any other text.
pub(crate) fn told(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let lines: Vec<&str> = text.lines().collect();
    let thrown = lines.windows(2).find_map(|pair| match pair {
        [line, next] if frame(next).is_some() => class(line),
        _ => None,
    })?;
    // The innermost cause is told last, and its first frame is where it was thrown.
    let cause = lines.iter().rposition(|line| line.contains("Caused by: "));
    let root = cause.and_then(|at| class(lines.get(at)?)).filter(|root| *root != thrown);
    let first = lines.get(cause.unwrap_or(0)..)?.iter().find_map(|line| frame(line))?;
    let cut = |text: &str| match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    };
    let (thrown, first) = (cut(thrown), cut(first));
    let caused = root.map(|root| format!(", caused by {},", cut(root))).unwrap_or_default();
    let message = lines.get(cause.unwrap_or(0)..)?.iter().find(|line| class(line).is_some());
    let null = message.and_then(|line| was_null(line)).map(|what| format!(" because {} was null", cut(what)));
    let null = null.unwrap_or_default();
    Some(format!(
        "this is the stack trace of a Java exception, not a dump: {thrown}{caused} was thrown at {first}{null}, and the virtual machine did not crash; \
         for a process that hangs give `jcmd PID Thread.print -l`, for one that died its hs_err_pid*.log"
    ))
}

/// The exception that a line names: `Exception in thread "main" java.lang.Error: …`, `Caused by: a.b.CException: …`, or behind a log's prefix.
fn class(line: &str) -> Option<&str> {
    let line = line.rsplit_once("Caused by: ").map_or(line, |(_, rest)| rest);
    let words = line.split([' ', '\t']).map(|word| word.trim_end_matches(':').trim_matches('"'));
    let is_class = |word: &&str| {
        let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'$' | b'_'));
        let name = word.rsplit(['.', '$']).next().unwrap_or(word);
        let ends = ["Exception", "Error", "Throwable"].iter().any(|end| name.ends_with(end));
        plain && ends && (word.contains('.') || line.trim_start().starts_with(*word) || line.contains("in thread"))
    };
    // "Exception in thread" begins with a word that is none.
    words.filter(|word| *word != "Exception").find(is_class)
}

/// What was null, in the words of the VM since JDK 14 (JEP 358; `bytecodeUtils.cpp`): the return value of a method, a field, an element, a
/// parameter. The method that returned it is where the null was born, and no longer on the stack.
fn was_null(line: &str) -> Option<&str> {
    let (_, message) = line.split_once("NullPointerException: ")?;
    let (_, what) = message.rsplit_once(" because ")?;
    what.trim_end().strip_suffix(" is null")
}

/// The method and place of a frame: `\tat shop.Cart.add(Cart.java:7)`.
fn frame(line: &str) -> Option<&str> {
    let at = line
        .find("\tat ")
        .map(|at| at + 4)
        .or_else(|| line.trim_start().starts_with("at ").then(|| line.find("at ").map(|at| at + 3))?)?;
    let rest = line.get(at..)?.trim_end();
    let is_frame = rest.contains('(') && PLACES.iter().any(|place| rest.contains(place)) && !rest.starts_with(' ');
    is_frame.then(|| rest.split_once(" ~[").map_or(rest, |(frame, _)| frame))
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn exceptions_of_every_look() {
        for (text, words) in [
            (
                "java.lang.IllegalStateException: closed\n\tat shop.Cart.add(Cart.java:7)\n\tat shop.Main.main(Main.java:3)\n",
                "java.lang.IllegalStateException was thrown at shop.Cart.add(Cart.java:7),",
            ),
            (
                "Exception in thread \"main\" java.lang.RuntimeException: a\n\tat shop.Cart.add(Cart.java:7)\nCaused by: java.net.ConnectException: refused\n\tat shop.Net.open(Net.kt:9)\n\t... 3 more\n",
                "java.lang.RuntimeException, caused by java.net.ConnectException, was thrown at shop.Net.open(Net.kt:9),",
            ),
            (
                "2026-11-21 10:00:00 ERROR [http-1] shop.Web - request failed\njava.lang.OutOfMemoryError: Java heap space\r\n\tat shop.Cart.grow(Cart.java:1) ~[shop.jar:1.0]\r\n",
                "java.lang.OutOfMemoryError was thrown at shop.Cart.grow(Cart.java:1),",
            ),
            (
                "java.lang.NullPointerException: Cannot invoke \"shop.Customer.name()\" because the return value of \"shop.Book.find(long)\" is null\n\tat shop.Cart.add(Cart.java:7)\n",
                "was thrown at shop.Cart.add(Cart.java:7) because the return value of \"shop.Book.find(long)\" was null,",
            ),
            (
                "till-1  | 10:00:00 java.lang.NullPointerException\ntill-1  | \tat shop.Cart.add(Unknown Source)\n",
                "java.lang.NullPointerException was thrown at shop.Cart.add(Unknown Source),",
            ),
        ] {
            let said = told(text.as_bytes()).unwrap_or_default();
            assert!(said.contains(words) && said.contains("jcmd PID Thread.print"), "{said}");
        }
    }

    #[test]
    fn other_text_is_none() {
        for text in [
            "",
            "at last (Main.java:3)",
            "java.lang.Error: x\nand no frame\n",
            "an Exception\n\tat a loss (of words)\n",
        ] {
            assert_eq!(told(text.as_bytes()), None, "{text}");
        }
    }
}
