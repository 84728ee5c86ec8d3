//! A function with no crate: the Runtime API over a socket of its own. Answers {"rust": EVENT}.

use std::io::{Read, Result, Write};
use std::net::TcpStream;

fn call(method: &str, path: &str, body: &str) -> Result<(String, String)> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").expect("run by Lambda");
    let mut stream = TcpStream::connect(&api)?;
    write!(
        stream,
        "{method} /2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nHost: {api}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    Ok((head.to_string(), body.to_string()))
}

fn main() -> Result<()> {
    loop {
        let (head, event) = call("GET", "next", "")?;
        let id = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("Lambda-Runtime-Aws-Request-Id"))
            .expect("a request id")
            .1;
        println!("called in Rust");
        call("POST", &format!("{id}/response"), &format!("{{\"rust\": {event}}}"))?;
    }
}
