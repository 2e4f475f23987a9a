#!/usr/bin/python3
"""A camera in front of a gauge, over RTSP: what the demo and the tests of the senses look through.

    scripts/gauge_camera.py PORT [RISE]      rtsp://127.0.0.1:PORT/gauge; shows 30, and climbs by RISE a second after a line on its
                                             standard input

Each new value is printed, with the milliseconds since 1970 at which it stood in a frame.
"""

import math
import sys
import time

import cairo
import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

WIDTH, HEIGHT, FPS = 640, 480, 5
LOWEST, HIGHEST = 30.0, 96.0
START, SWEEP = 225.0, 270.0


def picture(value: float) -> bytes:
    """A gauge from 0 to 100, as rows of blue, green, red and a byte for nothing."""
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, WIDTH, HEIGHT)
    pen = cairo.Context(surface)
    pen.set_source_rgb(0.45, 0.42, 0.38)
    pen.paint()
    x, y, radius = WIDTH / 2, HEIGHT / 2, HEIGHT * 0.42
    for size, light in ((1.1, 0.2), (1.0, 0.93)):
        pen.set_source_rgb(light, light, light)
        pen.arc(x, y, radius * size, 0, 2 * math.pi)
        pen.fill()
    pen.set_source_rgb(0.1, 0.1, 0.1)
    for tick in range(0, 101, 5):
        turn = math.radians(START - SWEEP * tick / 100)
        inner = 0.78 if tick % 10 == 0 else 0.86
        pen.set_line_width(radius * (0.022 if tick % 10 == 0 else 0.012))
        pen.move_to(x + radius * inner * math.cos(turn), y - radius * inner * math.sin(turn))
        pen.line_to(x + radius * 0.94 * math.cos(turn), y - radius * 0.94 * math.sin(turn))
        pen.stroke()
    turn = math.radians(START - SWEEP * value / 100)
    pen.set_line_width(radius * 0.04)
    pen.move_to(x, y)
    pen.line_to(x + radius * 0.8 * math.cos(turn), y - radius * 0.8 * math.sin(turn))
    pen.stroke()
    pen.arc(x, y, radius * 0.07, 0, 2 * math.pi)
    pen.fill()
    surface.flush()
    return bytes(surface.get_data())


class Camera(GstRtspServer.RTSPMediaFactory):
    def __init__(self, rise: float):
        super().__init__()
        self.rise, self.began, self.last = rise, None, None
        GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN, self.climb)

    def do_create_element(self, url):
        form = f"video/x-raw,format=BGRx,width={WIDTH},height={HEIGHT},framerate={FPS}/1"
        return Gst.parse_launch(
            f"appsrc name=frames is-live=true format=time do-timestamp=true caps={form} ! videoconvert ! video/x-raw,format=I420 "
            f"! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={FPS} ! rtph264pay name=pay0 config-interval=1"
        )

    def do_configure(self, media):
        source = media.get_element().get_child_by_name("frames")
        GLib.timeout_add(1000 // FPS, self.show, source)

    def climb(self, stdin, _) -> bool:
        if stdin.readline():
            self.began = self.began or time.monotonic()
            return True
        return False

    def show(self, source) -> bool:
        climbed = self.rise * (time.monotonic() - self.began) if self.began else 0.0
        value = min(HIGHEST, LOWEST + climbed)
        if int(value) != self.last:
            self.last = int(value)
            print(self.last, int(time.time() * 1000), flush=True)
        return source.emit("push-buffer", Gst.Buffer.new_wrapped(picture(value))) == Gst.FlowReturn.OK


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    server.get_mount_points().add_factory("/gauge", Camera(float(sys.argv[2]) if len(sys.argv) > 2 else 2.0))
    if not server.attach(None):
        sys.exit(f"port {sys.argv[1]} cannot be used")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
