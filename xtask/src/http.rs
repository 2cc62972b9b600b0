//! A small HTTP/1.1 client over one kept connection: enough to call our own server, and light enough
//! not to disturb what it measures.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// Longer than any answer that is waited for here: a deployment compiles.
const WAIT_MAX: Duration = Duration::from_secs(180);

/// An answer in full.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer's JSON if its status is one of success.
    ///
    /// # Errors
    /// The server's own words otherwise.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        ensure!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            self.text().trim()
        );
        if self.body.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

/// A connection to one server.
pub struct Connection {
    authority: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `url`, of which only `http://host:port` counts.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn open(url: &str) -> anyhow::Result<Connection> {
        let rest = url
            .strip_prefix("http://")
            .with_context(|| format!("`{url}` does not begin with http://"))?;
        let authority = rest.split('/').next().unwrap_or_default().to_owned();
        let stream = TcpStream::connect(&authority)
            .with_context(|| format!("nobody answers at {authority}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        Ok(Connection {
            authority,
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads its answer to the end. After an error the connection is of no use.
    ///
    /// # Errors
    /// When the connection breaks or what comes is no HTTP.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut message = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.authority);
        for (name, value) in headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method != "GET" {
            message.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        message.push_str("\r\n");
        let mut message = message.into_bytes();
        // In one write: two would wait for each other's acknowledgement.
        message.extend_from_slice(body);
        self.stream.get_mut().write_all(&message)?;
        self.read().with_context(|| format!("{method} {path}"))
    }

    pub fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send("GET", path, &[], &[])
    }

    fn read(&mut self) -> anyhow::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("no HTTP answer: `{status_line}`"))?;
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else {
                bail!("no header field: `{line}`");
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.trim().parse::<usize>()?),
                "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
        let body = match (chunked, length) {
            (true, _) => self.chunks()?,
            (false, Some(length)) => self.exactly(length)?,
            // These have no body, and need not say so.
            (false, None) if matches!(status, 204 | 304) => Vec::new(),
            (false, None) => {
                let mut body = Vec::new();
                self.stream.read_to_end(&mut body)?;
                body
            }
        };
        Ok(Answer { status, body })
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(
            self.stream.read_line(&mut line)? > 0,
            "the server closed the connection"
        );
        Ok(line.trim_end().to_owned())
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
                .with_context(|| format!("no size of a chunk: `{line}`"))?;
            if size == 0 {
                // What may stand between the last chunk and the empty line is of no interest.
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            self.line()?;
        }
    }

    fn exactly(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &'static str, expect: (u16, &str)) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ignored", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let mut connection = Connection::open(&url).unwrap();
        let found = connection
            .send("POST", "/a", &[("x", "y")], b"body")
            .unwrap();
        assert_eq!((found.status, found.text().as_str()), expect);
        let request = server.join().unwrap();
        assert!(request.starts_with("POST /a HTTP/1.1\r\nhost: 127.0.0.1:"));
        assert!(request.ends_with("x: y\r\ncontent-length: 4\r\n\r\nbody"));
    }

    #[test]
    fn bodies_end_where_the_server_says() {
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi, not this",
            (200, "hi"),
        );
        check(
            "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n ho\r\n0\r\n\r\n",
            (201, "hi ho"),
        );
        check("HTTP/1.1 204 No Content\r\n\r\n", (204, ""));
        check("HTTP/1.1 500 Oh\r\n\r\nto the end", (500, "to the end"));
    }
}
