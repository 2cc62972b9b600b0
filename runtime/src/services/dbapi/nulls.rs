//! `;nulls=stripped`: objects without the keys whose value is null.

/// What an open array or object has so far.
struct Frame {
    object: bool,
    /// Whether the next string is a key.
    key: bool,
    /// Members written.
    kept: usize,
    /// Where the member begins that is being written.
    start: usize,
}

/// `json` without null members of objects, however deep, and without spaces; nulls of arrays stay.
/// `json` is valid, as the database wrote it.
pub fn strip(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut open: Vec<Frame> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let end = match byte {
            b'"' => end_of_string(json, at),
            b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at + 1,
            _ => end_of_word(json, at),
        };
        let token = &json[at..end];
        at = end;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b',' => {
                if let Some(frame) = open.last_mut() {
                    frame.key = frame.object;
                }
            }
            b':' => out.push(b':'),
            b'{' | b'[' => {
                separate(&mut out, &open);
                out.push(byte);
                open.push(Frame {
                    object: byte == b'{',
                    key: byte == b'{',
                    kept: 0,
                    start: 0,
                });
            }
            b'}' | b']' => {
                open.pop();
                out.push(byte);
                keep(&mut open);
            }
            _ => match open.last_mut() {
                Some(frame) if frame.key => {
                    frame.key = false;
                    frame.start = out.len();
                    if frame.kept > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(token);
                }
                Some(frame) if frame.object && token == b"null" => out.truncate(frame.start),
                _ => {
                    separate(&mut out, &open);
                    out.extend_from_slice(token);
                    keep(&mut open);
                }
            },
        }
    }
    out
}

/// Before a value: a member of an object has its comma before its key.
fn separate(out: &mut Vec<u8>, open: &[Frame]) {
    if open
        .last()
        .is_some_and(|frame| !frame.object && frame.kept > 0)
    {
        out.push(b',');
    }
}

fn keep(open: &mut [Frame]) {
    if let Some(frame) = open.last_mut() {
        frame.kept += 1;
    }
}

fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

fn end_of_word(json: &[u8], start: usize) -> usize {
    let rest = json[start..].iter();
    let length = rest
        .take_while(|byte| {
            !matches!(
                byte,
                b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\n' | b'\r'
            )
        })
        .count();
    start + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_members_go_and_null_elements_stay() {
        let check = |json: &str, expect: &str| {
            assert_eq!(String::from_utf8(strip(json.as_bytes())).unwrap(), expect);
        };
        check("[]", "[]");
        check("null", "null");
        check(r#"[{"a":null}]"#, "[{}]");
        check(
            r#"[{"a":null,"b":1,"c":null,"d":[null,1,null]}]"#,
            r#"[{"b":1,"d":[null,1,null]}]"#,
        );
        check(
            r#"[{"a":1,"b":null},{"a":null,"b":"null"}]"#,
            r#"[{"a":1},{"b":"null"}]"#,
        );
        check(
            "[{\"x\": {\"a\": null, \"b\": {\"c\": null}}, \"y\": [{\"z\": null}, 2]}\n]",
            r#"[{"x":{"b":{}},"y":[{},2]}]"#,
        );
        check(
            r#"{"a\"b":null,"c\\":"x,\"}","d":-1.5e3}"#,
            r#"{"c\\":"x,\"}","d":-1.5e3}"#,
        );
        check(r#"{"null":true,"t":false}"#, r#"{"null":true,"t":false}"#);
    }

    #[test]
    fn what_is_no_json_ends_all_the_same() {
        for json in ["\"", "\"\\", "{", "}", "]],", ":", "{\"a\"", "nul"] {
            strip(json.as_bytes());
        }
    }
}
