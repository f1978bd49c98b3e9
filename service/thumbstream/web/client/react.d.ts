import type { ComponentProps, JSX } from "react";

/** `<img>` with the attributes of thumbstream/images, and their events. */
export function ThumbImage(
  props: ComponentProps<"img"> & {
    "data-thumb"?: string;
    "data-thumb-src"?: string;
    "data-thumb-bytes"?: number | "all";
    /** A preview was painted, the first one or a sharper one. */
    onPreview?: (event: Event) => void;
    /** There is no preview. */
    onPreviewError?: (event: ErrorEvent) => void;
  },
): JSX.Element;
