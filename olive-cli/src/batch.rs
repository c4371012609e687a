//! JSON lines to one batch; what is wrong is named with its line.

use std::io::BufRead;

use olive_client::WriteBatch;
use olive_client::protocol::{BODY_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use serde::Deserialize;

use crate::bytes::from_hex;
use crate::lines::Lines;

const FORM: &str = r#"a line is {"op":"put","key":"...","value":"..."} or {"op":"delete","key":"..."}, with key_hex and value_hex for other bytes than text"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    #[serde(default)]
    op: Op,
    key: Option<String>,
    key_hex: Option<String>,
    value: Option<String>,
    value_hex: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    #[default]
    Put,
    Delete,
}

/// Reads all operations of `input`, which is called `name`.
///
/// # Errors
///
/// The line that is no operation, or that is over a limit, and what is wrong with it; or
/// why `input` cannot be read.
pub(crate) fn read(name: &str, input: impl BufRead) -> Result<WriteBatch, String> {
    let mut batch = WriteBatch::new();
    let mut lines = Lines::of(input);
    while let Some((number, line)) = lines.next_line().map_err(|broken| broken.told(name))? {
        push(&mut batch, line.trim_ascii())
            .map_err(|why| format!("{name}, line {number}: {why}"))?;
    }
    Ok(batch)
}

fn push(batch: &mut WriteBatch, line: &[u8]) -> Result<(), String> {
    if line.is_empty() {
        return Ok(());
    }
    let operation: Operation = serde_json::from_slice(line).map_err(|error| json_error(&error))?;
    let key = one_of(operation.key, operation.key_hex, "key")?
        .ok_or_else(|| format!("there is no key; {FORM}"))?;
    let value = one_of(operation.value, operation.value_hex, "value")?;
    check("key", key.len(), KEY_BYTES_MAX)?;
    match (operation.op, value) {
        (Op::Put, Some(value)) => {
            check("value", value.len(), VALUE_BYTES_MAX)?;
            batch.put(key, value);
        }
        (Op::Put, None) => return Err(format!("a put needs a value; {FORM}")),
        (Op::Delete, None) => {
            batch.delete(key);
        }
        (Op::Delete, Some(_)) => return Err(format!("a delete has no value; {FORM}")),
    }
    if batch.encoded_bytes() > BODY_BYTES_MAX {
        return Err(format!(
            "with this line the batch is over {BODY_BYTES_MAX} bytes, and nothing of it was \
             written: split the file"
        ));
    }
    Ok(())
}

fn one_of(
    text: Option<String>,
    hex: Option<String>,
    name: &str,
) -> Result<Option<Vec<u8>>, String> {
    match (text, hex) {
        (Some(_), Some(_)) => Err(format!("give {name} or {name}_hex, not both")),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(hex)) => match from_hex(hex.as_bytes()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(why) => Err(format!("{name}_hex is no hexadecimal: {why}")),
        },
        (None, None) => Ok(None),
    }
}

fn check(what: &str, bytes: usize, bytes_max: usize) -> Result<(), String> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(format!("a {what} of {bytes} bytes is over the limit of {bytes_max}"))
}

/// The parser sees one line only: of where it stopped, the column is worth something.
fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{what}, at byte {}; {FORM}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let lines = br#"
{"op":"put","key":"a","value":"1"}
  {"key_hex":"00ff","value_hex":"0A"}
{"value":"","key":""}
{"op":"delete","key":"\u00e4"}"#;
        let mut expected = WriteBatch::new();
        expected.put("a", "1").put([0, 0xff], "\n").put("", "").delete("ä");
        let batch = read("it", &lines[..]).unwrap();
        assert_eq!(format!("{batch:?}"), format!("{expected:?}"));
        assert!(read("it", &b"\n\r\n"[..]).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let long = format!(r#"{{"op":"delete","key":"{}"}}"#, "k".repeat(65_536));
        for (line, says) in [
            (r#"{"op":"put","key":"a","value":"1","ttl":5}"#, "unknown field `ttl`"),
            (r#"{"op":"increment","key":"a"}"#, "unknown variant `increment`"),
            (r#"{"key":"a","key":"b","value":""}"#, "duplicate field `key`"),
            (r#"{"key":"a","value":5}"#, "expected a string"),
            (r#"{"key":"a","value":"1"} x"#, "trailing characters, at byte 25"),
            (r#"{"key":"a""#, "EOF"),
            (r#"put a 1"#, "expected"),
            (r#"{"op":"delete"}"#, "there is no key"),
            (r#"{"op":"delete","key":"a","value":""}"#, "a delete has no value"),
            (r#"{"op":"put","key":"a"}"#, "a put needs a value"),
            (r#"{"key":"a","value":null}"#, "a put needs a value"),
            (r#"{"key":"a","key_hex":"00","value":""}"#, "key or key_hex, not both"),
            (r#"{"key":"a","value_hex":"0"}"#, "value_hex is no hexadecimal: 1 digits"),
            (&long, "a key of 65536 bytes is over the limit of 65535"),
        ] {
            let file = format!("{{\"op\":\"delete\",\"key\":\"a\"}}\n\n{line}\n");
            let error = read("it", file.as_bytes()).unwrap_err();
            assert!(error.starts_with("it, line 3: ") && error.contains(says), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_batch_over_the_limit_is_refused_at_its_line() {
        let line = format!("{{\"key\":\"a\",\"value\":\"{}\"}}\n", "v".repeat(33 << 20));
        let error = read("it", line.repeat(2).as_bytes()).unwrap_err();
        assert!(error.starts_with("it, line 2: ") && error.contains("split the file"), "{error}");
    }
}
