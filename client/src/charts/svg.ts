/** A drawing as SVG: as much of a canvas's context as the painters use, written down instead of painted. */

const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
const short = (value: number) => String(Math.round(value * 100) / 100);

interface Style {
  fillStyle: string;
  strokeStyle: string;
  lineWidth: number;
  lineJoin: string;
  font: string;
  textAlign: string;
  textBaseline: string;
  dash: readonly number[];
  x: number;
  y: number;
  /** How many groups a clipping has opened. */
  groups: number;
}

const ANCHORS: Record<string, string> = { left: "start", right: "end", center: "middle" };
/** How far below a text's place its baseline lies, as a part of its size. */
const SHIFTS: Record<string, number> = { top: 0.8, middle: 0.35, alphabetic: 0 };

export class SvgContext {
  private readonly parts: string[] = [];
  private readonly saved: Style[] = [];
  private path = "";
  private clips = 0;
  private style: Style = {
    fillStyle: "#000",
    strokeStyle: "#000",
    lineWidth: 1,
    lineJoin: "miter",
    font: "12px sans-serif",
    textAlign: "left",
    textBaseline: "alphabetic",
    dash: [],
    x: 0,
    y: 0,
    groups: 0,
  };

  set fillStyle(value: string) {
    this.style.fillStyle = value;
  }
  set strokeStyle(value: string) {
    this.style.strokeStyle = value;
  }
  set lineWidth(value: number) {
    this.style.lineWidth = value;
  }
  set lineJoin(value: string) {
    this.style.lineJoin = value;
  }
  set font(value: string) {
    this.style.font = value;
  }
  set textAlign(value: string) {
    this.style.textAlign = value;
  }
  set textBaseline(value: string) {
    this.style.textBaseline = value;
  }

  /** `measure` tells how wide a text is in a font. */
  constructor(private readonly measure: (text: string, font: string) => number) {}

  save(): void {
    this.saved.push({ ...this.style, groups: 0 });
  }

  restore(): void {
    this.parts.push("</g>".repeat(this.style.groups));
    const former = this.saved.pop();
    if (former) this.style = former;
  }

  translate(x: number, y: number): void {
    this.style.x += x;
    this.style.y += y;
  }

  setLineDash(dash: readonly number[]): void {
    this.style.dash = dash;
  }

  beginPath(): void {
    this.path = "";
  }

  private point(x: number, y: number): string {
    return `${short(x + this.style.x)} ${short(y + this.style.y)}`;
  }

  moveTo(x: number, y: number): void {
    this.path += `M${this.point(x, y)}`;
  }

  lineTo(x: number, y: number): void {
    this.path += `L${this.point(x, y)}`;
  }

  closePath(): void {
    this.path += "Z";
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.path += `M${this.point(x, y)}h${short(width)}v${short(height)}h${short(-width)}Z`;
  }

  /** Full circles alone are drawn. */
  arc(x: number, y: number, radius: number): void {
    const r = short(radius);
    const [there, back] = [short(2 * radius), short(-2 * radius)];
    this.path += `M${this.point(x - radius, y)}a${r} ${r} 0 1 0 ${there} 0a${r} ${r} 0 1 0 ${back} 0`;
  }

  fill(): void {
    if (this.path) this.parts.push(`<path d="${this.path}" fill="${this.style.fillStyle}"/>`);
  }

  stroke(): void {
    if (!this.path) return;
    const { strokeStyle, lineWidth, lineJoin, dash } = this.style;
    const dashes = dash.length > 0 ? ` stroke-dasharray="${dash.join(" ")}"` : "";
    this.parts.push(
      `<path d="${this.path}" fill="none" stroke="${strokeStyle}" stroke-width="${lineWidth}" stroke-linejoin="${lineJoin}"${dashes}/>`,
    );
  }

  fillRect(x: number, y: number, width: number, height: number): void {
    const at = `x="${short(x + this.style.x)}" y="${short(y + this.style.y)}"`;
    const size = `width="${short(width)}" height="${short(height)}"`;
    this.parts.push(`<rect ${at} ${size} fill="${this.style.fillStyle}"/>`);
  }

  clip(): void {
    this.clips += 1;
    this.style.groups += 1;
    const id = `clip${this.clips}-${this.parts.length}`;
    this.parts.push(
      `<clipPath id="${id}"><path d="${this.path}"/></clipPath><g clip-path="url(#${id})">`,
    );
  }

  measureText(text: string): { width: number } {
    return { width: this.measure(text, this.style.font) };
  }

  fillText(text: string, x: number, y: number): void {
    this.text(text, x, y, `fill="${this.style.fillStyle}"`);
  }

  strokeText(text: string, x: number, y: number): void {
    const { strokeStyle, lineWidth } = this.style;
    this.text(text, x, y, `fill="none" stroke="${strokeStyle}" stroke-width="${lineWidth}"`);
  }

  private text(text: string, x: number, y: number, paint: string): void {
    const { font, textAlign, textBaseline } = this.style;
    const [, size = "12", family = "sans-serif"] = /([\d.]+)px (.*)/.exec(font) ?? [];
    const down = (SHIFTS[textBaseline] ?? 0) * Number(size);
    const at = `x="${short(x + this.style.x)}" y="${short(y + this.style.y + down)}"`;
    const look = `font-family="${escaped(family)}" font-size="${size}" text-anchor="${ANCHORS[textAlign] ?? "start"}"`;
    this.parts.push(`<text ${at} ${look} ${paint}>${escaped(text)}</text>`);
  }

  /** The whole drawing as a file. */
  document(width: number, height: number): string {
    const size = `width="${short(width)}" height="${short(height)}" viewBox="0 0 ${short(width)} ${short(height)}"`;
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${this.parts.join("")}</svg>\n`;
  }
}
