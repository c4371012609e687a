//! Bytes as text that a terminal shows as one line, and that the shell reads back.

/// Appends `bytes` with all that is not printable escaped as `\n`, `\r`, `\t`, `\\` and
/// `\xNN`. Printable UTF-8 stays as it is.
pub(crate) fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for sign in chunk.valid().chars() {
            push_sign(out, sign);
        }
        chunk.invalid().iter().for_each(|&byte| push_byte(out, byte));
    }
}

pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    push_escaped(&mut out, bytes);
    String::from_utf8_lossy(&out).into_owned()
}

fn push_sign(out: &mut Vec<u8>, sign: char) {
    let mut utf8 = [0; 4];
    let utf8 = sign.encode_utf8(&mut utf8).as_bytes();
    match sign {
        '\n' => out.extend(br"\n"),
        '\r' => out.extend(br"\r"),
        '\t' => out.extend(br"\t"),
        '\\' => out.extend(br"\\"),
        '\'' | '"' => out.push(sign as u8),
        // The standard library knows what is printable, directions and the like are not.
        _ if sign.escape_debug().len() == 1 => out.extend(utf8),
        _ => utf8.iter().for_each(|&byte| push_byte(out, byte)),
    }
}

fn push_byte(out: &mut Vec<u8>, byte: u8) {
    out.extend(br"\x");
    crate::bytes::push_hex(out, &[byte]);
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_is_printable_stays() {
        for (bytes, text) in [
            (&b"plain 'text' \"it\" is"[..], "plain 'text' \"it\" is"),
            ("größer 大".as_bytes(), "größer 大"),
            (b"a\nb\tc\r\\", r"a\nb\tc\r\\"),
            (b"\x00\x1b[31m\x7f\xff", r"\x00\x1b[31m\x7f\xff"),
            // A cut sign, and a direction that would turn the line around.
            ("ö\u{202e}".as_bytes().split_last().unwrap().1, r"ö\xe2\x80"),
            ("\u{202e}".as_bytes(), r"\xe2\x80\xae"),
        ] {
            assert_eq!(escaped(bytes), text);
        }
    }
}
