//! A request's way through the middlewares of its router, and the way back of whatever is answered.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::answer::Answer;
use super::decision::Visitor;
use super::encoded::Encoding;
use super::own_routers::OwnRouter;
use super::scratch::Scratch;
use super::sides::Content;
use crate::http::{Headers, Name, RequestHead, ResponseHead, name};
use crate::http1::{Announce, BodyLength};
use crate::middleware::{Coding, Encoder, Request, Response};
use crate::service::sticky::CookieJar;

const CONTENT_ENCODING: Name<'static> = Name::literal("Content-Encoding");

/// How far a request has come.
#[derive(Default)]
pub struct Passage {
    /// `None` where it has no middlewares.
    router: Option<Rc<OwnRouter>>,
    /// How many of them have let the request pass; these see the response.
    passed: usize,
    /// Values of `Set-Cookie` for the response.
    pub cookies: Vec<String>,
}

impl Passage {
    /// Shows the request to the middlewares of its router.
    ///
    /// # Errors
    /// One of them answers it.
    pub fn enter(
        &mut self,
        visitor: Visitor<'_>,
        router: &Rc<OwnRouter>,
        head: &mut RequestHead,
    ) -> Result<(), Answer> {
        if router.middlewares.is_empty() {
            return Ok(());
        }
        self.router = Some(Rc::clone(router));
        for middleware in &router.middlewares {
            let mut request = Request {
                head,
                client: visitor.address.ip(),
                tls: visitor.tls,
            };
            if let ControlFlow::Break(answer) = middleware.request(&mut request) {
                return Err(Answer::of(answer, visitor, head));
            }
            self.passed += 1;
        }
        Ok(())
    }

    /// Shows an answer of weir's own to those that let its request pass.
    pub fn leave(&self, visitor: Visitor<'_>, request: &RequestHead, head: &mut ResponseHead) {
        self.show(&mut Response {
            request,
            tls: visitor.tls,
            head,
            length: None,
            encodable: false,
        });
    }

    fn show(&self, response: &mut Response<'_>) -> Option<Coding> {
        for cookie in &self.cookies {
            let fields = &mut response.head.headers;
            fields.append(name::SET_COOKIE, cookie.as_bytes());
        }
        let router = self.router.as_ref()?;
        let mut coding = None;
        for middleware in router.middlewares[..self.passed].iter().rev() {
            coding = middleware.response(response).or(coding);
        }
        coding
    }

    /// Forgets the request.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The cookies of a request and those for its response.
pub struct Jar<'a> {
    /// Of the request.
    pub headers: &'a Headers,
    /// Values of `Set-Cookie`.
    pub cookies: &'a mut Vec<String>,
}

impl CookieJar for Jar<'_> {
    fn sent(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all(name::COOKIE);
        let texts = lines.filter_map(|line| std::str::from_utf8(line).ok());
        let mut pairs = texts.flat_map(|text| text.split(';')).map(str::trim);
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        let bare = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        Some(bare.unwrap_or(value))
    }

    fn set(&mut self, field: &str) {
        self.cookies.push(field.to_owned());
    }
}

/// Shows a server's response to the middlewares. What its body is to be encoded with, if it is; `content` says that
/// then.
pub fn leave<'w>(
    visitor: Visitor<'w>,
    scratch: &mut Scratch,
    content: &mut Content,
) -> Option<Encoding<'w>> {
    let Scratch {
        request,
        response,
        passage,
        ..
    } = scratch;
    if passage.router.is_none() && passage.cookies.is_empty() {
        return None;
    }
    let room = visitor.worker.encoders.room();
    let length = match content.announce {
        Announce::Length(length) => Some(length),
        Announce::Nothing | Announce::Chunked => None,
    };
    let coding = passage.show(&mut Response {
        request,
        tls: visitor.tls,
        head: response,
        length,
        encodable: room.is_some() && !content.body.is_empty(),
    });
    let (coding, room) = (coding?, room?);
    let Ok(encoder) = Encoder::new(coding) else {
        response.headers.remove(CONTENT_ENCODING);
        return None;
    };
    content.announce = Announce::Chunked;
    content.body = BodyLength::Chunked;
    Some(Encoding {
        encoder,
        room,
        prompt: length.is_none(),
    })
}
