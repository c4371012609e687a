//! The load generator: its counts, and what it does when things go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use olive_client::protocol::Command as Request;
use serde_json::Value;

use crate::support::{Ran, Run, Running, cli, impostor};

fn parse(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn number(workload: &Value, name: &str) -> u64 {
    workload[name].as_u64().unwrap_or_else(|| panic!("{name} of {workload}"))
}

/// Every request is in exactly one of the counts.
fn adds_up(workload: &Value) {
    let errors: u64 =
        workload["errors"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let counts = ["put", "hits", "missing"].map(|name| number(workload, name));
    assert_eq!(number(workload, "answered"), counts.iter().sum::<u64>() + errors);
    assert_eq!(
        number(workload, "asked"),
        number(workload, "answered") + number(workload, "unanswered")
    );
}

#[test]
fn a_second_of_each_workload() {
    let server = Running::start();
    let args = ["bench", "--workloads", "set,get,mix:50", "--seconds", "1", "--connections", "10"];
    let more = ["--pipeline", "4", "--keys", "500", "--verify", "--format", "json"];
    let ran = server.cli(&[&args[..], &more].concat()).ran();
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let all = parse(&ran);
    assert_eq!(all["options"]["connections"], 10);
    let names: Vec<&str> =
        all["workloads"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["set", "get", "mix:50"]);
    for workload in all["workloads"].as_array().unwrap() {
        adds_up(workload);
        assert!(number(workload, "answered") > 100, "{workload}");
        assert!(workload["seconds"].as_f64().unwrap() >= 0.9, "{workload}");
        let us = ["p50", "p95", "p99", "p99.9", "max"]
            .map(|q| workload["latency_us"][q].as_f64().unwrap());
        assert!(us[0] > 0.0 && us.is_sorted(), "{us:?}");
    }
    let [set, get, mix] = [0, 1, 2].map(|at| &all["workloads"][at]);
    assert_eq!((number(set, "hits"), number(get, "put")), (0, 0));
    assert!(number(get, "hits") > 0 && number(mix, "hits") > 0 && number(mix, "put") > 0);
}

#[test]
fn requests_are_as_many_as_asked_for_and_keys_as_well() {
    let server = Running::start();
    for (threads, distribution) in
        [("1", "sequential"), ("3", "sequential"), ("2", "zipf"), ("2", "uniform")]
    {
        let args = ["bench", "--requests", "1001", "--connections", "7", "--pipeline", "9"];
        let more = ["--keys", "300", "--key-bytes", "20", "--value-bytes", "7", "--format", "json"];
        let how = ["--threads", threads, "--distribution", distribution, "--fill", "--verify"];
        let ran = server.cli(&[&args[..], &more, &how].concat()).ran();
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        let all = parse(&ran);
        let [set, get] = [0, 1].map(|at| &all["workloads"][at]);
        adds_up(set);
        assert_eq!((number(set, "put"), number(get, "hits")), (1001, 1001), "{distribution}");
        let entries: Vec<_> = server.client().scan(..).unwrap().map(Result::unwrap).collect();
        assert_eq!(entries.len(), 300);
        assert_eq!(entries[299].0, b"bench:00000000000299");
        assert!(entries.iter().all(|(_, value)| value.len() == 7));
    }
}

#[test]
fn large_values_and_deep_pipelines_go_through() {
    let server = Running::start();
    // Longer than an input buffer is at first, and than what a socket holds.
    let args = ["bench", "--requests", "60", "--connections", "2", "--pipeline", "20"];
    let more = ["--keys", "10", "--value-bytes", "600000", "--verify", "--format", "json"];
    let ran = server.cli(&[&args[..], &more].concat()).ran();
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let all = parse(&ran);
    let get = &all["workloads"][1];
    adds_up(get);
    assert_eq!(number(get, "hits") + number(get, "missing"), 60);
    assert!(number(get, "hits") > 0);
}

#[test]
fn other_values_than_those_put_are_found() {
    let server = Running::start();
    let common = ["bench", "--keys", "10", "--requests", "20", "--connections", "1"];
    let put = ["--workloads", "set", "--distribution", "sequential"];
    assert_eq!(server.cli(&[&common[..], &put].concat()).ran().status, 0);
    let get = ["--workloads", "get", "--verify"];
    assert_eq!(server.cli(&[&common[..], &get].concat()).ran().status, 0);
    server
        .cli(&[&common[..], &get, &["--seed", "2"]].concat())
        .fails(3, &["20 values are not those"]);
}

#[test]
fn missing_keys_are_counted_and_no_error() {
    let server = Running::start();
    let args = ["bench", "--workloads", "get", "--requests", "50", "--format", "json"];
    let ran = server.cli(&args).ran();
    assert_eq!((ran.status, number(&parse(&ran)["workloads"][0], "missing")), (0, 50));
}

#[test]
fn workloads_take_keys_of_their_own_and_runs_repeat() {
    let server = Running::start();
    // Few of very many keys: those of the GETs are hardly those of the PUTs.
    let args = ["bench", "--requests", "200", "--connections", "1", "--format", "json"];
    let all = parse(&server.cli(&[&args[..], &["--keys", "1000000000"]].concat()).ran());
    assert_eq!(number(&all["workloads"][1], "missing"), 200);
    let keys = |server: &Running| -> Vec<Vec<u8>> {
        server.client().scan(..).unwrap().map(|entry| entry.unwrap().0).collect()
    };
    let other = Running::start();
    let seeds = ["--keys", "1000000000", "--seed", "1"];
    assert_eq!(other.cli(&[&args[..], &seeds].concat()).ran().status, 0);
    assert_eq!(keys(&server), keys(&other));
    let seeds = ["--keys", "1000000000", "--seed", "2"];
    assert_eq!(other.cli(&[&args[..], &seeds].concat()).ran().status, 0);
    assert!(keys(&other).len() > 300);
}

#[test]
fn the_table_has_a_row_a_workload() {
    let server = Running::start();
    let ran = server.cli(&["bench", "--requests", "100"]).ran();
    assert_eq!(ran.status, 0);
    let lines: Vec<&str> = ran.text().lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.text());
    assert!(
        lines[0].contains("p99.9 µs") && lines[2].contains(" set ") && lines[3].contains(" get ")
    );
}

/// A server that does ten PUTs, refuses two, and then closes each connection.
#[test]
fn errors_and_broken_connections_are_counted_and_told() {
    let puts = Arc::new(AtomicU64::new(0));
    let addr = impostor(move |request| match request {
        Request::Put { .. } => match puts.fetch_add(1, Ordering::Relaxed) {
            0..10 => Some(b"OK\n".to_vec()),
            10..12 => Some(b"ERROR stalled by a test\n".to_vec()),
            _ => None,
        },
        _ => Some(b"OK\n".to_vec()),
    });
    let args = ["bench", "--workloads", "set", "--connections", "1", "--pipeline", "5"];
    let ran = cli(&addr, &[&args[..], &["--requests", "100", "--format", "json"]].concat()).ran();
    let all = parse(&ran);
    let set = &all["workloads"][0];
    adds_up(set);
    assert_eq!((number(set, "put"), set["errors"]["stalled"].as_u64()), (10, Some(2)));
    assert_eq!((number(set, "broken_connections"), number(set, "unanswered")), (1, 3));
    assert_eq!(ran.status, 3);
    // The end is seen when it comes, also behind answers, and not when the time is up.
    assert!(!ran.err.contains("no answer within"), "{ran:?}");
    for part in
        ["set: 2 requests got ERROR stalled by a test", "1 connections broke with 3 requests"]
    {
        assert!(ran.err.contains(part), "{ran:?}");
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    // The answer to a PUT is none, and the connection stays.
    let addr = impostor(|request| match request {
        Request::Put { .. } => Some(Vec::new()),
        _ => Some(b"OK\n".to_vec()),
    });
    let args = ["bench", "--workloads", "set", "--connections", "1", "--timeout", "200ms"];
    cli(&addr, &args)
        .fails(3, &["1 connections broke with 1 requests unanswered: no answer within 200ms"]);
}

#[test]
fn more_connections_than_the_server_takes_are_refused_by_name() {
    let server = Running::with(|layer, _| layer.max_connections = Some(4));
    server.cli(&["bench", "--connections", "10"]).fails(3, &["the server says busy"]);
}
