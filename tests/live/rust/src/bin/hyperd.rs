//! hyper on tokio-rustls: `hyperd cert.pem key.pem`. Prints its port.
use std::{convert::Infallible, fs::File, io::BufReader, sync::Arc};

use http_body_util::Full;
use hyper::{Request, Response, body::{Bytes, Incoming}, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let missing = request.uri().path().starts_with("/missing");
    let mut response = Response::new(Full::new(Bytes::from_static(if missing { b"" } else { b"hello" })));
    *response.status_mut() = if missing { 404 } else { 200 }.try_into().unwrap();
    Ok(response)
}

#[tokio::main]
async fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let open = |path: &str| BufReader::new(File::open(path).unwrap());
    let certificates = rustls_pemfile::certs(&mut open(&files[0])).collect::<Result<_, _>>().unwrap();
    let key = rustls_pemfile::private_key(&mut open(&files[1])).unwrap().unwrap();
    let config = Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(config.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}
