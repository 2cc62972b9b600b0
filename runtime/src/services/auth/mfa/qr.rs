//! A QR code as an image.

use qrcode::{Color, QrCode};

/// Light modules around the code: what the standard (ISO/IEC 18004) asks for.
const QUIET: usize = 4;

/// `text` as SVG, in black on white, whatever the page looks like. None when it is too long for a code.
///
/// Clients put it behind `data:image/svg+xml;utf-8,`: it has no `#` and no `%`, which mean something in a URL.
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let (width, colors) = (code.width(), code.to_colors());
    let mut path = String::new();
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        // One rectangle for dark modules that touch.
        for run in row.chunk_by(|left, right| left == right) {
            if run[0] == Color::Dark {
                let length = run.len();
                path += &format!("M{} {}h{length}v1h-{length}z", x + QUIET, y + QUIET);
            }
            x += run.len();
        }
    }
    let side = width + 2 * QUIET;
    Some(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200" viewBox="0 0 {side} {side}" shape-rendering="crispEdges"><path fill="white" d="M0 0h{side}v{side}H0z"/><path fill="black" d="{path}"/></svg>"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_drawn() {
        let text = "otpauth://totp/shop:ada@example.com?secret=JBSWY3DPEHPK3PXP";
        let image = svg(text).unwrap();
        assert!(image.starts_with("<svg ") && image.ends_with("</svg>"));
        assert!(!image.contains(['#', '%', '\n']));
        // The path says the code again.
        let code = QrCode::new(text).unwrap();
        let mut drawn = vec![Color::Light; code.width() * code.width()];
        let path = image.split("fill=\"black\" d=\"").nth(1).unwrap();
        let path = path.split('"').next().unwrap();
        for rectangle in path.split('M').skip(1) {
            let (x, rest) = rectangle.split_once(' ').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            let (length, _) = rest.split_once('v').unwrap();
            let number = |text: &str| text.parse::<usize>().unwrap();
            let start = (number(y) - QUIET) * code.width() + number(x) - QUIET;
            drawn[start..start + number(length)].fill(Color::Dark);
        }
        assert!(drawn == code.to_colors());
    }

    #[test]
    fn what_does_not_fit_is_no_code() {
        assert!(svg(&"x".repeat(3_000)).is_none());
    }
}
