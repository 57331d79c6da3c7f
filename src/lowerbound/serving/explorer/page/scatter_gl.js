/* WebGL 2 renderer of the scatter: shaders, buffers and textures.
 *
 * The view is a uniform: clip = (position - centre) · scale, where positions and centre are relative to an origin in
 * the middle of the data, so that float32 has enough digits far from zero. Colours are premultiplied. Points hidden by
 * the mask or by a palette entry with alpha 0 are moved out of clip space by the vertex shader, so that filtering by
 * category uploads 1 kB. A renderer keeps no copy of its data: after a lost context its owner uploads everything again.
 */

const MAX_COLOURS = 256;

const POINT_VERTEX = `#version 300 es
in vec2 position;
in uvec2 kind;  // category, shown
uniform vec2 centre, scale;
uniform float size, opacity;  // size in pixels, the edge included
uniform vec4 tint;  // blended over the colour by its alpha
uniform sampler2D palette;
flat out vec4 colour;
void main() {
  vec4 own = texelFetch(palette, ivec2(int(kind.x), 0), 0);
  bool hidden = kind.y == 0u || own.a == 0.0;
  colour = mix(own, vec4(tint.rgb, 1.0), tint.a) * opacity;
  gl_Position = hidden ? vec4(2.0, 2.0, 2.0, 1.0) : vec4((position - centre) * scale, 0.0, 1.0);
  gl_PointSize = size;
}`;

const POINT_FRAGMENT = `#version 300 es
precision mediump float;
uniform float radius;
flat in vec4 colour;
out vec4 result;
void main() {  // a disc whose edge is one pixel wide
  float distance = length(gl_PointCoord - 0.5) * 2.0 * (radius + 0.5);
  result = colour * clamp(radius + 0.5 - distance, 0.0, 1.0);
}`;

const IMAGE_VERTEX = `#version 300 es
uniform vec4 rectangle;  // x0, x1, y0, y1 in clip space
out vec2 texel;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  texel = vec2(corner.x, 1.0 - corner.y);  // row 0 of the image lies at y1
  gl_Position = vec4(mix(rectangle.xz, rectangle.yw, corner), 0.0, 1.0);
}`;

const IMAGE_FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D image;
uniform float opacity;
in vec2 texel;
out vec4 result;
void main() { result = texture(image, texel) * opacity; }`;

const CONTEXT = { alpha: true, premultipliedAlpha: true, antialias: false, depth: false, stencil: false };

/** Whether WebGL 2 is available and uses a GPU. */
export function isAccelerated() {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!gl) return false;
  let name = gl.getParameter(gl.RENDERER);
  // Chromium and Safari give the name only by the extension; Firefox gives it here, and warns about the extension.
  const details = name === "WebKit WebGL" && gl.getExtension("WEBGL_debug_renderer_info");
  if (details) name = gl.getParameter(details.UNMASKED_RENDERER_WEBGL);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

/** @returns a renderer, or null without WebGL 2 */
export function createRenderer(canvas) {
  const gl = canvas.getContext("webgl2", CONTEXT);
  if (!gl) return null;
  const points = createPoints(gl);
  const image = createImage(gl);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  return {
    kind: "webgl",
    setPositions: (positions) => upload(gl, points.positions, positions),
    setKinds: (kinds) => upload(gl, points.kinds, kinds),
    setHighlight: (indices) => upload(gl, points.highlight, indices, gl.ELEMENT_ARRAY_BUFFER),
    setPalette: (rgba) => uploadPalette(gl, points.palette, rgba),
    setImage: (source, sampling) => uploadImage(gl, image.texture, source, sampling),
    draw: (frame) => draw(gl, points, image, frame),
    destroy: () => gl.getExtension("WEBGL_lose_context")?.loseContext(),
  };
}

function createPoints(gl) {
  const program = createProgram(gl, POINT_VERTEX, POINT_FRAGMENT, ["position", "kind"]);
  const buffers = { positions: gl.createBuffer(), kinds: gl.createBuffer(), highlight: gl.createBuffer() };
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffers.positions);
  gl.enableVertexAttribArray(0);
  gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffers.kinds);
  gl.enableVertexAttribArray(1);
  gl.vertexAttribIPointer(1, 2, gl.UNSIGNED_BYTE, 0, 0);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.highlight);
  gl.bindVertexArray(null);
  return { ...buffers, array, program, uniforms: uniformsOf(gl, program), palette: createTexture(gl, gl.NEAREST) };
}

function createImage(gl) {
  const program = createProgram(gl, IMAGE_VERTEX, IMAGE_FRAGMENT, []);
  const texture = createTexture(gl, gl.LINEAR);
  return { program, uniforms: uniformsOf(gl, program), texture, array: gl.createVertexArray() };
}

function createProgram(gl, vertex, fragment, attributes) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  attributes.forEach((name, location) => gl.bindAttribLocation(program, location, name));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`The scatter's shaders do not compile here: ${[...logs, gl.getProgramInfoLog(program)].join(" ")}`);
  }
  return program;
}

function uniformsOf(gl, program) {
  const uniforms = {};
  const count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) ?? 0;
  for (let k = 0; k < count; k++) {
    const { name } = gl.getActiveUniform(program, k);
    uniforms[name] = gl.getUniformLocation(program, name);
  }
  return uniforms;
}

function createTexture(gl, filter) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  return texture;
}

function upload(gl, buffer, array, target = gl.ARRAY_BUFFER) {
  gl.bindVertexArray(null); // an element buffer would be bound to the current vertex array
  gl.bindBuffer(target, buffer);
  gl.bufferData(target, array, gl.STATIC_DRAW);
}

/** @param {Uint8Array} rgba premultiplied, 256 entries */
function uploadPalette(gl, texture, rgba) {
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, MAX_COLOURS, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
}

function uploadImage(gl, texture, source, sampling) {
  const filter = sampling === "nearest" ? gl.NEAREST : gl.LINEAR;
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, source);
}

/**
 * One frame.
 * @param frame {centre, scale, size, opacity, count, numHighlighted, discs: [{size, colour}, ...] for each highlighted
 *   point, image: null | {rectangle, opacity}}; sizes in device pixels, colours in 0..1, null for the point's own colour
 */
function draw(gl, points, image, frame) {
  gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT);
  if (frame.image) drawImage(gl, image, frame.image);
  if (!frame.count) return;
  gl.useProgram(points.program);
  gl.bindVertexArray(points.array);
  gl.bindTexture(gl.TEXTURE_2D, points.palette);
  gl.uniform2f(points.uniforms.centre, ...frame.centre);
  gl.uniform2f(points.uniforms.scale, ...frame.scale);
  drawAll(gl, points.uniforms, frame);
  if (frame.numHighlighted) drawHighlighted(gl, points.uniforms, frame);
}

function drawImage(gl, image, { rectangle, opacity }) {
  gl.useProgram(image.program);
  gl.bindVertexArray(image.array);
  gl.bindTexture(gl.TEXTURE_2D, image.texture);
  gl.uniform4f(image.uniforms.rectangle, ...rectangle);
  gl.uniform1f(image.uniforms.opacity, opacity);
  gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
}

function drawAll(gl, uniforms, frame) {
  setDisc(gl, uniforms, frame.size, frame.opacity, null);
  gl.drawArrays(gl.POINTS, 0, frame.count);
}

/** The highlighted points again, opaque. */
function drawHighlighted(gl, uniforms, frame) {
  for (const { size, colour } of frame.discs) {
    setDisc(gl, uniforms, size, 1, colour);
    gl.drawElements(gl.POINTS, frame.numHighlighted, gl.UNSIGNED_INT, 0);
  }
}

function setDisc(gl, uniforms, size, opacity, colour) {
  gl.uniform1f(uniforms.size, size + 1);
  gl.uniform1f(uniforms.radius, size / 2);
  gl.uniform1f(uniforms.opacity, opacity);
  gl.uniform4f(uniforms.tint, ...(colour ?? [0, 0, 0]), colour ? 1 : 0);
}
