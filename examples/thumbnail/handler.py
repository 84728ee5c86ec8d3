"""A Lambda function with a dependency in native code: a PNG goes in, a thumbnail comes out."""

import base64
import io

from PIL import Image


def handler(event, context):
    """`event`: {"image": base64 of a picture, "width": pixels}. Answers {"image", "width", "height"}, PNG."""
    picture = Image.open(io.BytesIO(base64.b64decode(event["image"])))
    width = event["width"]
    height = max(1, round(picture.height * width / picture.width))
    small = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    print(f"{picture.width} x {picture.height} {picture.format} -> {width} x {height}")
    out = io.BytesIO()
    small.save(out, "PNG")
    return {"image": base64.b64encode(out.getvalue()).decode(), "width": width, "height": height}
