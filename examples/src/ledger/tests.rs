use super::*;

const SEED: u64 = 11;

/// A database that does what it should.
fn apply(found: &mut Found, operation: &Operation) {
    for (key, is_put) in &operation.changes {
        if *is_put {
            found.insert(key.bytes(), value(SEED, operation.writer, operation.number, *key));
        } else {
            found.remove(&key.bytes());
        }
    }
}

/// Every writer in turn, `rounds` times, all acknowledged.
fn filled(rounds: u64) -> (Ledger, Found) {
    let (mut ledger, mut found) = (Ledger::new(SEED), Found::new());
    for number in 1..=rounds {
        for writer in 0..WRITERS {
            apply(&mut found, &operation(SEED, writer, number));
            ledger.acknowledge(writer, number).unwrap();
        }
    }
    (ledger, found)
}

/// A number from which `writer`'s operation is one that `wanted` takes.
fn seek(writer: u8, wanted: impl Fn(&Operation) -> bool) -> u64 {
    (1..).find(|&number| wanted(&operation(SEED, writer, number))).unwrap()
}

/// Everything up to `writer`'s operation `number`, which is under way.
fn up_to(writer: u8, number: u64) -> (Ledger, Found, Operation) {
    let (mut ledger, mut found) = filled(number - 1);
    for other in (0..WRITERS).filter(|other| *other != writer) {
        apply(&mut found, &operation(SEED, other, number));
        ledger.acknowledge(other, number).unwrap();
    }
    (ledger, found, operation(SEED, writer, number))
}

#[test]
fn what_was_acknowledged_is_right_and_so_is_a_write_under_way_either_way() {
    for number in 200..230 {
        for applied in [false, true] {
            let (mut ledger, mut found, operation) = up_to(2, number);
            if applied {
                apply(&mut found, &operation);
            }
            assert_eq!(ledger.judge(&found), Vec::<String>::new(), "{operation:?}");
            assert_eq!(ledger.judge(&found), Vec::<String>::new(), "and it stays so");
        }
    }
}

#[test]
fn a_lost_write_a_resurrected_one_and_a_foreign_one_are_caught() {
    let (mut ledger, mut found) = filled(300);
    let key = found.keys().next().unwrap().clone();
    found.remove(&key);
    assert_eq!(ledger.judge(&found).len(), 1, "lost");

    let (mut ledger, mut found) = filled(300);
    let put_by_0 = |key, n: &u64| operation(SEED, 0, *n).changes.contains(&(key, true));
    let (deleted, number) = ScriptKey::all()
        .filter(|key| !found.contains_key(&key.bytes()))
        .find_map(|key| (1..=300).rev().find(|n| put_by_0(key, n)).map(|n| (key, n)))
        .expect("one was put once");
    found.insert(deleted.bytes(), value(SEED, 0, number, deleted));
    assert_eq!(ledger.judge(&found).len(), 1, "resurrected");

    let (mut ledger, mut found) = filled(300);
    found.insert(b"other".to_vec(), Vec::new());
    assert_eq!(ledger.judge(&found).len(), 1, "never written");

    let (mut ledger, mut found) = filled(300);
    found.values_mut().next().unwrap().push(0);
    assert_eq!(ledger.judge(&found).len(), 1, "a wrong value");
}

#[test]
fn half_a_batch_is_caught_in_own_keys_and_in_shared_ones() {
    let number = seek(1, |operation| {
        operation.number > 100 && operation.group.is_some_and(|(_, is_put)| is_put)
    });
    let (_, _, batch) = up_to(1, number);
    for left_out in 0..batch.changes.len() {
        let (mut ledger, mut found, mut half) = up_to(1, number);
        let before = found.clone();
        let out = half.changes.remove(left_out).0.bytes();
        apply(&mut found, &half);
        let mut whole = found.clone();
        apply(&mut whole, &batch);
        // Where it deletes what is not there, nothing is left out.
        if before.get(&out) != whole.get(&out) {
            assert!(!ledger.judge(&found).is_empty(), "{left_out} of {batch:?}");
        }
    }
}

#[test]
fn a_shared_write_that_another_is_later_than_is_caught() {
    let number = seek(5, |operation| {
        operation.number > 100 && operation.group.is_some_and(|(_, is_put)| is_put)
    });
    let (group, _) = operation(SEED, 5, number).group.unwrap();
    let (mut ledger, mut found) = filled(number);
    let later = (number + 1..)
        .find(|&n| operation(SEED, 6, n).group.is_some_and(|(other, _)| other == group))
        .unwrap();
    for number in number + 1..=later {
        apply(&mut found, &operation(SEED, 6, number));
        ledger.acknowledge(6, number).unwrap();
    }
    for part in 0..PARTS {
        let key = ScriptKey::Shared { group, part };
        found.insert(key.bytes(), value(SEED, 5, number, key));
    }
    assert_eq!(ledger.judge(&found).len(), 1);
}

#[test]
fn shared_writes_at_the_same_time_may_end_in_either_order() {
    let group_of = |writer, number| operation(SEED, writer, number).group.map(|(group, _)| group);
    // Neither of the two knows of the other's acknowledgement when it begins.
    let (a, b) = (1..)
        .find_map(|number| {
            let group = group_of(0, number)?;
            (1..WRITERS).find(|&b| group_of(b, number) == Some(group)).map(|b| (number, b))
        })
        .unwrap();
    for order in [[0, b], [b, 0]] {
        let (mut ledger, mut found) = filled(a - 1);
        for writer in order {
            apply(&mut found, &operation(SEED, writer, a));
        }
        ledger.acknowledge(0, a).unwrap();
        ledger.acknowledge(b, a).unwrap();
        assert_eq!(ledger.judge(&found), Vec::<String>::new());
    }
}

#[test]
fn an_acknowledgement_out_of_turn_is_refused() {
    let (mut ledger, _) = filled(3);
    assert!(ledger.acknowledge(0, 5).is_err());
    assert!(ledger.acknowledge(WRITERS, 1).is_err());
    assert!(ledger.acknowledge(0, 4).is_ok());
}
