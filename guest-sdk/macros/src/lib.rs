//! The attributes of the crate `pumice`, which re-exports and documents them.
//!
//! They read only a function's name and whether it takes an argument, so they need no Rust parser: that
//! saves every app's first build the longest dependency such a macro usually has.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// See `pumice::function`.
#[proc_macro_attribute]
pub fn function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kind = Kind {
        attribute: "function",
        settings: "name, route and access",
        method: "handle(request: ::pumice::__export::function::IncomingRequest, response: ::pumice::__export::function::ResponseOutparam)",
        passed: "request, response,",
        ignored: "_",
    };
    kind.expand(arguments, item)
}

/// See `pumice::before_trigger`.
#[proc_macro_attribute]
pub fn before_trigger(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kind = Kind {
        attribute: "before_trigger",
        settings: "name, table and operations",
        method: "check(batch: ::pumice::__export::before_trigger::Batch) -> ::std::vec::Vec<::pumice::__export::before_trigger::Verdict>",
        passed: "batch,",
        ignored: "_: ::pumice::Change<::pumice::__export::IgnoredAny>",
    };
    kind.expand(arguments, item)
}

/// See `pumice::after_trigger`.
#[proc_macro_attribute]
pub fn after_trigger(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kind = Kind {
        attribute: "after_trigger",
        settings: "name, table and operations",
        method: "react(batch: ::pumice::__export::after_trigger::Batch) -> ::std::result::Result<(), ::std::string::String>",
        passed: "batch,",
        ignored: "_: ::pumice::Batch<::pumice::__export::IgnoredAny>",
    };
    kind.expand(arguments, item)
}

/// See `pumice::procedure`.
#[proc_macro_attribute]
pub fn procedure(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kind = Kind {
        attribute: "procedure",
        settings: "name and access",
        method: "call(arguments: ::std::string::String) -> ::std::result::Result<::std::string::String, ::pumice::__export::procedure::Rejection>",
        passed: "arguments,",
        ignored: "_: ::pumice::__export::IgnoredAny",
    };
    kind.expand(arguments, item)
}

/// See `pumice::script`.
#[proc_macro_attribute]
pub fn script(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kind = Kind {
        attribute: "script",
        settings: "name and schedule",
        method: "run(job: ::pumice::__export::script::Job) -> ::std::result::Result<(), ::std::string::String>",
        passed: "job,",
        ignored: "_: ::pumice::Job<::pumice::__export::IgnoredAny>",
    };
    kind.expand(arguments, item)
}

/// See `pumice::before_user_created`.
#[proc_macro_attribute]
pub fn before_user_created(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kind = Kind {
        attribute: "before_user_created",
        settings: "its name and what it is on",
        method: "check(user: ::pumice::__export::before_user_created::NewUser) -> ::std::result::Result<::pumice::__export::before_user_created::UserDecision, ::pumice::__export::before_user_created::Rejection>",
        passed: "user,",
        ignored: "_: ::pumice::NewUser",
    };
    kind.expand(arguments, item)
}

/// See `pumice::custom_claims`.
#[proc_macro_attribute]
pub fn custom_claims(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kind = Kind {
        attribute: "custom_claims",
        settings: "its name and what it is on",
        method: "claims(request: ::pumice::__export::custom_claims::ClaimsRequest) -> ::std::result::Result<::std::string::String, ::pumice::__export::custom_claims::Rejection>",
        passed: "request,",
        ignored: "_: ::pumice::ClaimsRequest",
    };
    kind.expand(arguments, item)
}

/// See `pumice::send_message`.
#[proc_macro_attribute]
pub fn send_message(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kind = Kind {
        attribute: "send_message",
        settings: "its name, egress and what it is on",
        method: "send(message: ::pumice::__export::send_message::Message) -> ::std::result::Result<(), ::pumice::__export::send_message::Rejection>",
        passed: "message,",
        ignored: "_: ::pumice::Message",
    };
    kind.expand(arguments, item)
}

/// One kind of guest: its names are those of a module of `pumice::__export`.
struct Kind {
    attribute: &'static str,
    /// What the manifest says of such an entry.
    settings: &'static str,
    /// The handler's one method.
    method: &'static str,
    /// The method's arguments, as they are passed on.
    passed: &'static str,
    /// The argument that a function without one is called with, and its type where nothing else tells it.
    ignored: &'static str,
}

impl Kind {
    fn expand(&self, arguments: TokenStream, item: TokenStream) -> TokenStream {
        if let Some(argument) = arguments.into_iter().next() {
            let message = format!(
                "#[pumice::{}] takes no arguments; {} stand in pumice.toml",
                self.attribute, self.settings
            );
            return with_error(item, argument.span(), &message);
        }
        match Signature::read(item.clone()) {
            Ok(signature) => {
                let mut output = item;
                output.extend(self.export(&signature));
                output
            }
            Err((span, message)) => with_error(item, span, message),
        }
    }

    /// `const _: () = { struct Handler; impl … for Handler { … } export!(Handler); };`
    ///
    /// The call of the author's function keeps the span of its name, so that a wrong argument or return type
    /// is reported there.
    fn export(&self, signature: &Signature) -> TokenStream {
        let name = TokenTree::Ident(signature.name.clone());
        let mut handler = TokenStream::new();
        if signature.takes_argument {
            handler.extend([name]);
        } else {
            handler.extend(parse(&format!("|{}|", self.ignored)));
            let nothing = Group::new(Delimiter::Parenthesis, TokenStream::new());
            handler.extend([name, TokenTree::Group(nothing)]);
        }
        let module = format!("::pumice::__export::{}", self.attribute);
        let mut arguments = parse(self.passed);
        arguments.extend(handler);

        let mut answer = parse(&format!("{module}::answer"));
        answer.extend([TokenTree::Group(Group::new(
            Delimiter::Parenthesis,
            arguments,
        ))]);

        let mut method = parse(&format!("fn {}", self.method));
        method.extend([TokenTree::Group(Group::new(Delimiter::Brace, answer))]);

        let mut body = parse(&format!("struct Handler; impl {module}::Guest for Handler"));
        body.extend([TokenTree::Group(Group::new(Delimiter::Brace, method))]);
        body.extend(parse(&format!("{module}::export!(Handler);")));

        let mut output = parse("const _: () =");
        output.extend([TokenTree::Group(Group::new(Delimiter::Brace, body))]);
        output.extend(parse(";"));
        output
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
