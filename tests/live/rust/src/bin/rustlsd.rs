//! rustls with blocking sockets, a thread per connection: `rustlsd cert.pem key.pem`. Prints its port.
use std::{fs::File, io::{BufRead, BufReader, Write}, net::TcpListener, sync::Arc, thread};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let open = |path: &str| BufReader::new(File::open(path).unwrap());
    let certificates = rustls_pemfile::certs(&mut open(&files[0])).collect::<Result<_, _>>().unwrap();
    let key = rustls_pemfile::private_key(&mut open(&files[1])).unwrap().unwrap();
    let config = Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    for socket in listener.incoming() {
        let (socket, config) = (socket.unwrap(), config.clone());
        thread::spawn(move || {
            let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), socket));
            let mut line = String::new();
            loop {
                line.clear();
                if stream.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                let answer: &[u8] = if line.starts_with("GET /missing") { b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" } else { b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" };
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                }
                if stream.get_mut().write_all(answer).is_err() {
                    return;
                }
            }
        });
    }
}
