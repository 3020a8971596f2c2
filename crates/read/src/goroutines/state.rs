//! Goroutines that wait and are idle all the same, by the calls they wait in.

/// Calls in which a healthy goroutine waits for work that may never come. A name that ends in a dot or a star is a start.
///
/// Only what says "idle" by itself is here: a pooled connection that nobody uses, a listener, a ticker of a library.
const IDLE_CALLS: [&str; 30] = [
    "os/signal.loop",
    "os/signal.signal_recv",
    "net.(*TCPListener).Accept",
    "net.(*UnixListener).Accept",
    "net.(*netFD).accept",
    "internal/poll.(*FD).Accept",
    "net/http.(*connReader).backgroundRead",
    "net/http.(*persistConn).readLoop",
    "net/http.(*persistConn).writeLoop",
    "net/http.(*http2clientConnReadLoop).run",
    "net/http.(*http2ClientConn).readLoop",
    "golang.org/x/net/http2.(*ClientConn).readLoop",
    "golang.org/x/net/http2.(*clientConnReadLoop).run",
    "database/sql.(*DB).connectionOpener",
    "database/sql.(*DB).connectionCleaner",
    "database/sql.(*DB).connectionResetter",
    "github.com/go-sql-driver/mysql.(*mysqlConn).startWatcher.func1",
    "go.opencensus.io/stats/view.(*worker).start",
    "github.com/golang/glog.(*loggingT).flushDaemon",
    "github.com/golang/glog.(*fileSink).flushDaemon",
    "k8s.io/klog.(*loggingT).flushDaemon",
    "k8s.io/klog/v2.(*loggingT).flushDaemon",
    "k8s.io/klog/v2.(*flushDaemon).run.func1",
    "k8s.io/klog.(*flushDaemon).run.func1",
    "google.golang.org/grpc/internal/transport.(*http2Client).reader",
    "google.golang.org/grpc/internal/transport.(*controlBuffer).get",
    "google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run",
    "gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun",
    "gopkg.in/natefinch/lumberjack.v2.(*Logger).millRun",
    "github.com/patrickmn/go-cache.(*janitor).Run",
];

/// Frames from the innermost in which a call of the table counts; deeper ones only called the program's own code.
const IDLE_DEPTH: usize = 10;

/// Whether a stack by its calls, innermost first, is one that waits for work.
pub(super) fn is_idle<'a>(status: &str, mut names: impl Iterator<Item = &'a str>) -> bool {
    let waits = matches!(status, "IO wait" | "select" | "chan receive" | "sleep" | "syscall" | "sync.Cond.Wait");
    waits
        && names
            .by_ref()
            .take(IDLE_DEPTH)
            .take_while(|name| super::frame::package(name) != "main")
            .any(|name| IDLE_CALLS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_idle_and_a_handler_is_not() {
        let accept =
            ["internal/poll.runtime_pollWait", "internal/poll.(*FD).Accept", "net.(*netFD).accept", "main.main"];
        assert!(is_idle("IO wait", accept.into_iter()));
        assert!(!is_idle("running", accept.into_iter()));
        let handler = ["internal/poll.runtime_pollWait", "main.read", "net/http.(*persistConn).readLoop"];
        assert!(!is_idle("IO wait", handler.into_iter()));
    }
}
