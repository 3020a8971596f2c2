//! Many threads wait for something of which there is a limited number.

use necropsy_model::jvm::SERVERS;
use necropsy_model::{Activity, Confidence, Finding, Role, Severity, WaitKind};

use super::{At, Java, finding, threads};
use crate::{Case, Rule};

pub(crate) static RULE: Rule = Rule {
    id: "java-pool-exhausted",
    doc: "\
# What it means
Many threads wait to borrow something from a pool: a connection, a permit, an instance. Those that passed the same place before
them use what there is.
# Why it matters
The pool is the symptom. The cause is what the borrowers do: they are slow, stuck, or forgot to give back.
# How it can be wrong
A short burst looks the same. Where the method of no known pool is on the stack, threads that wait for work look alike; this rule
then asks that they are threads of a server, which wait for work elsewhere.
# What to do
Look at the borrowers first. A larger pool only moves the queue.
",
    check,
};

/// Waiters from which it is worth a finding.
const MANY: usize = 5;

/// Methods that lend.
const BORROWS: [&str; 14] = [
    "com.zaxxer.hikari.pool.HikariPool.getConnection",
    "org.apache.commons.pool.impl.GenericObjectPool.borrowObject",
    "org.apache.commons.pool2.impl.GenericObjectPool.borrowObject",
    "org.apache.commons.pool2.impl.GenericKeyedObjectPool.borrowObject",
    "org.apache.commons.dbcp.BasicDataSource.getConnection",
    "org.apache.commons.dbcp2.BasicDataSource.getConnection",
    "org.apache.tomcat.jdbc.pool.ConnectionPool.borrowConnection",
    "com.alibaba.druid.pool.DruidDataSource.getConnection",
    "com.mchange.v2.resourcepool.BasicResourcePool.awaitAvailable",
    "io.agroal.pool.ConnectionPool.getConnection",
    "org.apache.http.impl.conn.PoolingHttpClientConnectionManager.leaseConnection",
    "org.apache.http.pool.AbstractConnPool.getPoolEntryBlocking",
    "redis.clients.jedis.util.Pool.getResource",
    "org.jboss.ejb3.pool.strictmax.StrictMaxPool.get",
];

fn check<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(java) = Java::of(case) else { return Vec::new() };
    let kinds = [WaitKind::Condition, WaitKind::Semaphore, WaitKind::Park];
    let waits = java.waits(|wait| kinds.contains(&wait.kind));
    waits.values().filter_map(|(_, waiting)| judge(&java, waiting)).collect()
}

fn judge<'data>(java: &Java<'_, 'data>, waiting: &[At<'_, 'data>]) -> Option<Finding<'data>> {
    let waiting: Vec<_> = waiting.iter().filter(|at| java.activity(at.1) == Activity::Signal).copied().collect();
    let &first = waiting.first().filter(|_| waiting.len() >= MANY)?;
    let lends = java.methods(first.1).find(|method| BORROWS.contains(method));
    let serves = |at: &At<'_, '_>| SERVERS.iter().any(|start| at.1.name().is_some_and(|name| name.starts_with(start)));
    let method = java.own_method(first.1)?;
    if lends.is_none() && !waiting.iter().all(serves) {
        return None;
    }
    // Who passed the method in which the others wait, and is in something deeper now.
    let passed = |at: &At<'_, 'data>| {
        !waiting.iter().any(|other| other.0 == at.0)
            && java.activity(at.1) != Activity::Idle
            && java.own_method(at.1) != Some(method)
            && java
                .methods(at.1)
                .any(|other| caller(java, first).is_some_and(|caller| caller == other) || other == method)
    };
    let users: Vec<At<'_, 'data>> = java.threads().filter(passed).collect();
    if lends.is_none() && users.is_empty() {
        return None;
    }
    let what = if lends.is_some() { "a pool to lend them something" } else { "something that others use up" };
    let does = users.first().map(|user| match java.activity(user.1) {
        Activity::Io => format!("wait in {}", super::io(java, user.1)),
        Activity::Lock => "wait for a lock".to_owned(),
        Activity::Sleep => "sleep".to_owned(),
        Activity::Signal => "wait for others".to_owned(),
        _ => "work".to_owned(),
    });
    let of_them =
        users.iter().filter(|user| users.first().is_some_and(|first| java.activity(first.1) == java.activity(user.1)));
    let borrowers = match (&does, users.first()) {
        (Some(does), Some(user)) => {
            format!("; {} that passed there {does} in {}", threads(of_them.count()), java.at(user.1))
        }
        _ => String::new(),
    };
    let title = format!("{} wait for {what} in {}{borrowers}", threads(waiting.len()), java.at(first.1));
    let confidence = if users.is_empty() || lends.is_none() && waiting.len() < 2 * MANY {
        Confidence::Low
    } else {
        Confidence::Medium
    };
    let mut finding = finding(&RULE, Severity::Critical, confidence, title);
    for &user in users.iter().take(2) {
        finding.places.extend(java.place(user, Role::Holder));
        finding.evidence.push(java.says(user.1, &format!("passed there and is {}", java.state(user.1))));
    }
    finding.places.extend(java.place(first, Role::Waiter));
    let what = lends.map(|method| format!(", wants to borrow from {method},")).unwrap_or_default();
    finding.evidence.push(java.says(first.1, &format!("is {}{what}", java.state(first.1))));
    Some(finding)
}

/// The program's method that called the lending one, when that is not the program's own.
fn caller<'a>(java: &Java<'a, '_>, at: At<'a, '_>) -> Option<&'a str> {
    let mut methods = java.methods(at.1).skip_while(|method| !BORROWS.contains(method)).skip(1);
    let library =
        BORROWS.iter().filter_map(|method| method.rsplit_once(".pool").map(|(package, _)| package)).collect::<Vec<_>>();
    methods.find(|method| {
        !library.iter().any(|package| method.starts_with(package))
            && !["java.", "javax.", "jdk."].iter().any(|jdk| method.starts_with(jdk))
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{add, empty, waits};
    use super::*;
    use crate::rules::native::samples::fired;

    const QUEUE: &str = "java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject";

    fn queue(name: &'static str) -> necropsy_model::Snapshot<'static> {
        let mut snapshot = empty();
        let reads = ["java.net.SocketInputStream.socketRead0", "shop.Db.query", "shop.Page.get"];
        add(&mut snapshot, name, "RUNNABLE", Activity::Io, &reads);
        for _ in 0..MANY {
            let polls =
                ["jdk.internal.misc.Unsafe.park", "java.util.concurrent.ArrayBlockingQueue.poll", "shop.Page.get"];
            let thread = add(&mut snapshot, name, "TIMED_WAITING (parking)", Activity::Signal, &polls);
            thread.detail_mut().waits_on = Some(waits(WaitKind::Condition, 5, QUEUE, None));
        }
        snapshot
    }

    #[test]
    fn fires() {
        assert!(fired(&RULE, &queue("http-nio-8080-exec-1")));
    }

    #[test]
    fn keeps_quiet() {
        assert!(!fired(&RULE, &queue("consumer-1")), "consumers of a queue wait for work");
    }
}
