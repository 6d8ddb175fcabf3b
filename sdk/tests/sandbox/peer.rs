//! Servers on the loopback for guests to talk to, one behaviour each.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves every connection with `behave`; answers the port.
pub async fn serve<F>(behave: fn(TcpStream) -> F) -> u16
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A guest may hang up whenever it likes.
            tokio::spawn(async move { behave(stream).await.ok() });
        }
    });
    port
}

/// Accepts, says nothing, until the guest hangs up.
pub async fn silent(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// `hello` byte by byte, pauses between.
pub async fn dribbling(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    for byte in b"hello, slowly" {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(())
}

/// Answers every number with the next one.
pub async fn counting(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let number = stream.read_u32().await?;
        stream.write_u32(number + 1).await?;
    }
}

/// Like [`counting`], but thinks about it, so that the guest has to wait.
pub async fn thinking(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let number = stream.read_u32().await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_u32(number + 1).await?;
    }
}

/// Sends everything back.
pub async fn echoing(stream: TcpStream) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    tokio::io::copy(&mut reader, &mut writer).await.map(drop)
}

/// A port where nobody listens.
pub async fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}
