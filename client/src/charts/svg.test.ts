import { expect, it } from "vitest";
import { SvgContext } from "./svg";

it("a drawing is written down where it stands, and texts stay texts", () => {
  const to = new SvgContext((text) => 6 * text.length);
  to.fillStyle = "#fff";
  to.fillRect(0, 0, 100, 50);
  to.save();
  to.translate(10, 5);
  to.beginPath();
  to.rect(0, 0, 80, 40);
  to.clip();
  to.beginPath();
  to.moveTo(0, 0);
  to.lineTo(1 / 3, 2);
  to.strokeStyle = "#0072b2";
  to.setLineDash([6, 4]);
  to.stroke();
  to.restore();
  to.font = "13px system-ui, sans-serif";
  to.textAlign = "right";
  to.fillText('<Ann & "Ben">', 5, 6);
  const text = to.document(100, 50);
  expect(text).toContain('d="M10 5L10.33 7" fill="none" stroke="#0072b2"');
  expect(text).toContain('stroke-dasharray="6 4"');
  expect(text).toContain(
    'y="6" font-family="system-ui, sans-serif" font-size="13" text-anchor="end"',
  );
  expect(text).toContain(">&lt;Ann &amp; &quot;Ben&quot;></text>");
  expect(text.match(/<g /g)?.length).toBe(text.match(/<.g>/g)?.length);
  expect(to.measureText("abc").width).toBe(18);
});
