//! The attributes of the crate `pumice`, which re-exports and documents them.
//!
//! They read only a function's name and whether it takes an argument, so they need no Rust parser: that
//! saves every app's first build the longest dependency such a macro usually has.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// See `pumice::function`.
#[proc_macro_attribute]
pub fn function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if let Some(argument) = arguments.into_iter().next() {
        let message =
            "#[pumice::function] takes no arguments; name, route and access stand in pumice.toml";
        return with_error(item, argument.span(), message);
    }
    match Signature::read(item.clone()) {
        Ok(signature) => {
            let mut output = item;
            output.extend(export(&signature));
            output
        }
        Err((span, message)) => with_error(item, span, message),
    }
}

/// What an attribute has to know of the function under it.
struct Signature {
    name: Ident,
    takes_argument: bool,
}

impl Signature {
    fn read(item: TokenStream) -> Result<Self, (Span, &'static str)> {
        let mut tokens = item.into_iter();
        let not_a_function = "this attribute goes on a function";
        loop {
            match tokens.next() {
                Some(TokenTree::Ident(word)) if word.to_string() == "async" => {
                    let message = "functions are synchronous: remove `async`; calls such as `http::fetch` wait by themselves";
                    return Err((word.span(), message));
                }
                Some(TokenTree::Ident(word)) if word.to_string() == "fn" => break,
                Some(_) => {}
                None => return Err((Span::call_site(), not_a_function)),
            }
        }
        let Some(TokenTree::Ident(name)) = tokens.next() else {
            return Err((Span::call_site(), not_a_function));
        };
        match tokens.next() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                Ok(Self {
                    name,
                    takes_argument: !group.stream().is_empty(),
                })
            }
            _ => Err((name.span(), "a function of Pumice has no type parameters")),
        }
    }
}

/// `const _: () = { struct Function; impl … { … } export! };`
///
/// The call of the author's function keeps the span of its name, so that a wrong argument or return type
/// is reported there.
fn export(signature: &Signature) -> TokenStream {
    let called = if signature.takes_argument { "" } else { "|_|" };
    let mut handler = parse(called);
    handler.extend([TokenTree::Ident(signature.name.clone())]);
    if !signature.takes_argument {
        handler.extend([TokenTree::Group(Group::new(
            Delimiter::Parenthesis,
            TokenStream::new(),
        ))]);
    }
    let mut arguments = parse("request, response,");
    arguments.extend(handler);

    let mut answer = parse("::pumice::__export::answer");
    answer.extend([TokenTree::Group(Group::new(
        Delimiter::Parenthesis,
        arguments,
    ))]);

    let mut method = parse(
        "fn handle(request: ::pumice::__export::IncomingRequest, response: ::pumice::__export::ResponseOutparam)",
    );
    method.extend([TokenTree::Group(Group::new(Delimiter::Brace, answer))]);

    let mut body = parse("struct Function; impl ::pumice::__export::HttpGuest for Function");
    body.extend([TokenTree::Group(Group::new(Delimiter::Brace, method))]);
    body.extend(parse("::pumice::__export::export_http!(Function);"));

    let mut output = parse("const _: () =");
    output.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
    output.extend(parse(";"));
    output
}

fn parse(text: &str) -> TokenStream {
    text.parse()
        .expect("the fixed texts of this crate are Rust tokens")
}

/// The item as it was, so that only the real fault is reported, and a compile error at `span`.
fn with_error(item: TokenStream, span: Span, message: &str) -> TokenStream {
    let mut text = Literal::string(message);
    text.set_span(span);
    let mut tokens = [
        TokenTree::Ident(Ident::new("compile_error", span)),
        TokenTree::Punct(Punct::new('!', Spacing::Alone)),
        TokenTree::Group(Group::new(
            Delimiter::Parenthesis,
            TokenStream::from(TokenTree::Literal(text)),
        )),
        TokenTree::Punct(Punct::new(';', Spacing::Alone)),
    ];
    for token in &mut tokens {
        token.set_span(span);
    }
    let mut output = item;
    output.extend(tokens);
    output
}
