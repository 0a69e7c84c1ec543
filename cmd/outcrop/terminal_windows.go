package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// terminalWidth is how many columns the console f has; ok is false when f is none, or one that does not know colours.
func terminalWidth(f *os.File) (columns int, ok bool) {
	var mode uint32
	var info windows.ConsoleScreenBufferInfo
	h := windows.Handle(f.Fd())
	if windows.GetConsoleMode(h, &mode) != nil || mode&windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING == 0 || windows.GetConsoleScreenBufferInfo(h, &info) != nil {
		return 0, false
	}
	return int(info.Window.Right-info.Window.Left) + 1, true
}
