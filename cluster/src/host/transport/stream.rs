//! A connection that can be cut: both halves fail at once, whatever they wait for.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A connection as `ractor_cluster` gets it. Its own way to end one leaves a writer behind that waits for a stalled peer, with all that
/// is queued for it; cutting the stream ends that too.
pub(super) struct Severable {
    reader: BoxRead,
    writer: BoxWrite,
    label: String,
    cut: CancellationToken,
}

impl Severable {
    /// `label` is how `ractor_cluster`'s events name the connection.
    pub(super) fn new<S>(stream: S, label: String, cut: CancellationToken) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader: Box::new(reader), writer: Box::new(writer), label, cut }
    }
}

impl ClusterBidiStream for Severable {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let half = || Box::pin(self.cut.clone().cancelled_owned());
        let (read_cut, write_cut) = (half(), half());
        (Box::new(Half { inner: self.reader, cut: read_cut }), Box::new(Half { inner: self.writer, cut: write_cut }))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

struct Half<T> {
    inner: T,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<T> Half<T> {
    fn is_cut(&mut self, context: &mut Context<'_>) -> std::io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(std::io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Half<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.is_cut(context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Half<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.is_cut(context)?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.is_cut(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn cutting_ends_a_read_and_a_write_that_wait_for_a_stalled_peer() {
        let (near, _far) = tokio::io::duplex(16);
        let cut = CancellationToken::new();
        let stream: Box<dyn ClusterBidiStream> = Box::new(Severable::new(near, "peer".to_owned(), cut.clone()));
        let (mut reader, mut writer) = stream.split();
        let reading = tokio::spawn(async move { reader.read_u8().await });
        let writing = tokio::spawn(async move { writer.write_all(&[0; 64]).await });
        tokio::task::yield_now().await;
        assert!(!reading.is_finished() && !writing.is_finished());
        cut.cancel();
        let ended = async { tokio::join!(reading, writing) };
        let (reading, writing) = timeout(Duration::from_secs(5), ended).await.expect("neither waits on");
        assert_eq!(reading.expect("runs").expect_err("cut").kind(), std::io::ErrorKind::ConnectionAborted);
        assert_eq!(writing.expect("runs").expect_err("cut").kind(), std::io::ErrorKind::ConnectionAborted);
    }
}
