#!/usr/bin/python3
"""Cameras over HTTP as they should and should not be, for the tests of the senses: scripts/odd_camera.py PORT PICTURE.jpg

    /film        MJPEG, 5 frames a second           /frozen   MJPEG that stands still after 4 s
    /picture     one JPEG                           /broken   MJPEG whose pictures are cut off
    /secret      one JPEG for me:word alone         /endless  a picture that never ends
    /elsewhere   leads to /picture                  /inside   leads to a file of the board
"""

import base64
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PICTURE = open(sys.argv[2], "rb").read()
BOUNDARY = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


class Camera(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            getattr(self, self.path.strip("/"), self.unknown)()
        except OSError:
            pass  # whoever looked has seen enough

    def answer(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def frames(self, pictures) -> None:
        self.answer("multipart/x-mixed-replace; boundary=frame")
        for picture in pictures:
            self.wfile.write(BOUNDARY % len(picture) + picture + b"\r\n")
            time.sleep(0.2)

    def film(self) -> None:
        self.frames(PICTURE for _ in range(10**6))

    def frozen(self) -> None:
        self.frames(PICTURE for _ in range(20))
        time.sleep(3600)

    def broken(self) -> None:
        self.frames(PICTURE[: 200 + 7 * number % len(PICTURE)] for number in range(10**6))

    def endless(self) -> None:
        self.answer("image/jpeg")
        self.wfile.write(PICTURE[:-2])
        while True:
            self.wfile.write(bytes(65_536))

    def picture(self) -> None:
        self.answer("image/jpeg")
        self.wfile.write(PICTURE)

    def secret(self) -> None:
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"me:word").decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.picture()

    def lead(self, where: str) -> None:
        self.send_response(302)
        self.send_header("Location", where)
        self.end_headers()

    def elsewhere(self) -> None:
        self.lead("/picture")

    def inside(self) -> None:
        self.lead(f"file://{os.path.abspath(sys.argv[2])}")

    def unknown(self) -> None:
        self.send_error(404)

    def log_message(self, *_) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Camera).serve_forever()
