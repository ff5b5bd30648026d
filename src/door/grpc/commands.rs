//! `Commands`: what the Redis protocol has, in messages.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use prost::Message as _;
use tonic::{Code, Request, Response, Status, Streaming};
use v1::command_reply::Reply;

use super::call::{Call, Services};
use super::{reply, status, v1};
use crate::door::resp::Ran;

/// What a reply takes in memory besides its bytes.
const REPLY_BYTES: usize = size_of::<v1::CommandReply>();

/// Carries a command out. What it replies has its part of the door's memory.
async fn carry_out(call: &Call, asked: v1::CommandRequest) -> Result<v1::CommandReply, Status> {
    // As long as it is under way there is a second copy of it.
    let copied = asked
        .args
        .iter()
        .map(|word| word.len() + size_of::<Bytes>());
    let copy = call.borrow(copied.sum())?;
    let ran = call.run(&asked.args).await.map_err(status::refused)?;
    drop((asked, copy));
    let Ran { reply, is_write } = ran;
    let bytes = reply.len();
    let (reply, count) = reply::read(reply).ok_or_else(status::unexpected)?;
    let bytes = bytes.max(reply.encoded_len()) + count * REPLY_BYTES;
    call.take(bytes, is_write)?;
    Ok(reply)
}

#[tonic::async_trait]
impl v1::commands_server::Commands for Services {
    async fn run(
        &self,
        request: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::CommandReply>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        call.unnamed()?;
        let reply = carry_out(&call, asked).await?;
        match reply.reply {
            Some(Reply::Error(error)) => Err(reply::status(error)),
            _ => Ok(Response::new(reply)),
        }
    }

    type StreamStream = Pin<Box<dyn Stream<Item = Result<v1::CommandReply, Status>> + Send>>;

    async fn stream(
        &self,
        request: Request<Streaming<v1::CommandRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (call, commands) = Call::begin(self, request)?;
        call.unnamed()?;
        let replies = unfold(Some((call, commands)), |state| async {
            let (call, mut commands) = state?;
            match commands.message().await {
                Ok(None) => None,
                // What cannot be read, or is too long, ends the stream: where the next one begins is
                // not known.
                Err(status) => Some((Err(status), None)),
                Ok(Some(asked)) => {
                    let reply = carry_out(&call, asked).await;
                    let reply = reply.unwrap_or_else(|status| refused(&status));
                    Some((Ok(reply), Some((call, commands))))
                }
            }
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

/// What a command could not be answered with, as its reply.
fn refused(status: &Status) -> v1::CommandReply {
    let word = match status.code() {
        Code::ResourceExhausted => "BUSY",
        Code::Unauthenticated => "NOAUTH",
        Code::PermissionDenied => "NOPERM",
        _ => "ERR",
    };
    v1::CommandReply {
        reply: Some(Reply::Error(v1::CommandError {
            word: word.to_owned(),
            message: status.message().to_owned(),
            code: status.code().into(),
        })),
    }
}
